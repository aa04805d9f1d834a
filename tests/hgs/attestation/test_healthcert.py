"""Health certificates: the profile, and everything that must not pass for one."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.errors import CertificateInvalid
from hgs.attestation.healthcert import (
    CertificateKind,
    HealthCertificate,
    TrustedSigner,
    issue_health_certificate,
    make_signer,
    verify_health_certificate,
)
from tests.hgs.attestation.tpm_hosts import NOW

EK = "ab" * 32
Signer = tuple[x509.Certificate, rsa.RSAPrivateKey]


@pytest.fixture(scope="module")
def signer() -> Signer:
    return make_signer(NOW - timedelta(days=1), timedelta(days=365), os.urandom)


@pytest.fixture(scope="module")
def other_signer() -> Signer:
    return make_signer(NOW - timedelta(days=1), timedelta(days=365), os.urandom)


@pytest.fixture
def issue(signer: Signer, identity_key: rsa.RSAPrivateKey) -> Callable[..., bytes]:
    def make(kind: CertificateKind = CertificateKind.ENCRYPTION, **how: Any) -> bytes:
        certificate, key = how.pop("signer", signer)
        arguments: dict[str, Any] = {"now": NOW, "random_bytes": os.urandom} | how
        return issue_health_certificate(certificate, key, EK, identity_key.public_key(), kind, **arguments)

    return make


def verify(der: bytes, signer: Signer, now: datetime = NOW, **how: Any) -> HealthCertificate:
    return verify_health_certificate(der, (TrustedSigner(signer[0], how.get("signer_limit")),), now, how.get("limit"))


@pytest.mark.parametrize("kind", list(CertificateKind))
def test_an_issued_certificate_verifies_and_says_what_it_is(
    kind: CertificateKind, issue: Callable[..., bytes], signer: Signer, identity_key: rsa.RSAPrivateKey
) -> None:
    found = verify(issue(kind), signer)
    assert found.kind is kind
    assert found.public_key == identity_key.public_key()
    assert found.ek_hash == EK
    assert found.not_after - found.not_before == timedelta(hours=8)
    assert found.serial.bit_length() == 128


def test_the_profile_is_that_of_the_real_certificate(issue: Callable[..., bytes], identity_key: Any) -> None:
    certificate = x509.load_der_x509_certificate(issue(CertificateKind.SIGNING))
    oids = [extension.oid.dotted_string for extension in certificate.extensions]
    assert oids == ["2.5.29.15", "1.3.6.1.4.1.311.21.10", "2.5.29.14", "2.5.29.35"]
    assert [extension.critical for extension in certificate.extensions] == [True, False, False, False]
    policies = certificate.extensions[1].value
    assert policies.public_bytes() == bytes.fromhex("300e300c060a2b0601040182373001 02".replace(" ", ""))
    spki = identity_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    identifier = certificate.extensions[2].value
    assert isinstance(identifier, x509.SubjectKeyIdentifier)
    assert identifier.digest == hashlib.md5(spki, usedforsecurity=False).digest()
    assert certificate.subject.rfc4514_string() == f"CN={EK.upper()}"


def test_no_certificate_lives_longer_than_eight_hours(issue: Callable[..., bytes]) -> None:
    for lifetime in (timedelta(hours=8, seconds=1), timedelta(0), timedelta(hours=-1)):
        with pytest.raises(ValueError, match="8 hours"):
            issue(lifetime=lifetime)


def test_no_certificate_outlives_its_signer(identity_key: rsa.RSAPrivateKey) -> None:
    short = make_signer(NOW, timedelta(hours=2), os.urandom)
    der = issue_health_certificate(
        *short, EK, identity_key.public_key(), CertificateKind.ENCRYPTION, now=NOW, random_bytes=os.urandom
    )
    assert verify(der, short).not_after == NOW + timedelta(hours=2)


@pytest.mark.parametrize(
    ("seconds", "words"), [(-61, "not valid yet"), (8 * 3600, "expired at"), (9 * 3600, "expired at")]
)
def test_dates_are_checked(issue: Callable[..., bytes], signer: Signer, seconds: int, words: str) -> None:
    with pytest.raises(CertificateInvalid, match=words):
        verify(issue(), signer, NOW + timedelta(seconds=seconds))


def test_a_small_clock_difference_is_forgiven(issue: Callable[..., bytes], signer: Signer) -> None:
    assert verify(issue(), signer, NOW - timedelta(seconds=59)).ek_hash == EK


def test_certificates_of_other_signers_are_refused(
    issue: Callable[..., bytes], signer: Signer, other_signer: Signer
) -> None:
    with pytest.raises(CertificateInvalid, match="trusted here"):
        verify(issue(signer=other_signer), signer)
    with pytest.raises(CertificateInvalid, match="trusted here"):
        verify_health_certificate(issue(), (), NOW)
    both = (TrustedSigner(signer[0]), TrustedSigner(other_signer[0]))
    found = verify_health_certificate(issue(signer=other_signer), both, NOW)
    assert found.signer_thumbprint == other_signer[0].fingerprint(hashes.SHA256()).hex()


@pytest.mark.parametrize("which", ["limit", "signer_limit"])
def test_everything_issued_before_a_moment_can_be_refused(
    issue: Callable[..., bytes], signer: Signer, which: str
) -> None:
    verify(issue(), signer, **{which: NOW})
    with pytest.raises(CertificateInvalid, match="attest again"):
        verify(issue(), signer, **{which: NOW + timedelta(seconds=1)})


def test_an_expired_signer_is_not_trusted(issue: Callable[..., bytes], identity_key: rsa.RSAPrivateKey) -> None:
    old = make_signer(NOW - timedelta(days=9), timedelta(days=9), os.urandom)
    with pytest.raises((CertificateInvalid, ValueError)):
        verify(issue(signer=old, now=NOW - timedelta(hours=1)), old)


def test_every_flipped_byte_is_refused(issue: Callable[..., bytes], signer: Signer) -> None:
    der = issue()
    for at in range(len(der)):
        with pytest.raises(CertificateInvalid):
            verify(der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :], signer)


@pytest.mark.parametrize(
    "change",
    [
        lambda builder: builder,
        lambda builder: builder.add_extension(x509.BasicConstraints(True, None), True),
    ],
)
def test_a_certificate_of_another_profile_is_refused_though_signed(
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder], signer: Signer, identity_key: Any
) -> None:
    certificate, key = signer
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, EK.upper())]))
        .issuer_name(certificate.subject)
        .public_key(identity_key.public_key())
        .serial_number(5)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=8))
    )
    der = change(builder).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    with pytest.raises(CertificateInvalid, match="profile"):
        verify(der, signer)


def test_the_signer_itself_is_no_health_certificate(signer: Signer) -> None:
    with pytest.raises(CertificateInvalid):
        verify(signer[0].public_bytes(Encoding.DER), signer)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with suppress(CertificateInvalid):
        verify_health_certificate(data, (), NOW)
    with pytest.raises(CertificateInvalid):
        verify_health_certificate(bytes(9000), (), NOW)
