"""The certificate bag of signingCertificates."""

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.healthcert import make_signer
from hgs.wire.certbag import MAX_BAG, parse_bag, serialise_bag
from hgs.wire.errors import CertificateBagError

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def certificates() -> tuple[x509.Certificate, ...]:
    return tuple(make_signer(NOW, timedelta(days=9), os.urandom)[0] for _ in range(2))


def test_a_bag_gives_back_its_certificates(certificates: tuple[x509.Certificate, ...]) -> None:
    data = serialise_bag(certificates)
    assert set(parse_bag(data)) == set(certificates)
    assert serialise_bag(parse_bag(data)) == data


def test_a_bag_is_what_other_software_reads(certificates: tuple[x509.Certificate, ...]) -> None:
    assert set(pkcs7.load_der_pkcs7_certificates(serialise_bag(certificates))) == set(certificates)


def test_empty_large_and_foreign_bags_are_refused(certificates: tuple[x509.Certificate, ...]) -> None:
    with pytest.raises(CertificateBagError):
        serialise_bag(())
    single = certificates[0].public_bytes(Encoding.DER)
    for data in (b"", bytes(MAX_BAG + 1), single, serialise_bag(certificates) + b"!"):
        with pytest.raises(CertificateBagError):
            parse_bag(data)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_bag_or_an_error(data: bytes) -> None:
    with suppress(CertificateBagError):
        parse_bag(data)
