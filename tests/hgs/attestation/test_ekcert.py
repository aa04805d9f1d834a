"""Endorsement-key certificates as manufacturers write them, and their chains."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.ekcert import (
    EkCertificate,
    load_trusted_certificate,
    parse_ek_certificate,
    valid_until,
    verify_ek_chain,
)
from hgs.attestation.endorsement import endorsement_from_certificate
from hgs.attestation.errors import AttestationError, CertificateInvalid, Malformed, TooLarge
from tests.hgs.attestation.samples import sample
from tests.hgs.attestation.tpm_hosts import NOW, Manufacturer

KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = Manufacturer().root


def real(name: str) -> EkCertificate:
    return parse_ek_certificate(sample(f"ekcerts/{name}"))


def test_a_real_nuvoton_certificate_leads_to_its_root() -> None:
    leaf = real("ek_cert_with_padded_bytes.cer")
    assert leaf.quirks == ("trailing-bytes", "rsaes-oaep-key", "unordered-set")
    assert leaf.manufacturer == "manufacturer id:4E544300, model NPCT6xx, version id:0581"
    root = real("Nuvoton_TPM_Root_CA_2010.cer")
    assert verify_ek_chain(leaf, (root,), (), NOW) == (leaf, root)
    endorsement = endorsement_from_certificate(sample("ekcerts/ek_cert_with_padded_bytes.cer"))
    assert len(endorsement.ek_hash) == 64


def test_a_real_stm_certificate_leads_to_its_root_through_an_intermediate() -> None:
    leaf = real("nuc-1__ek_cert_untouched.cer")
    assert leaf.quirks == ("nv-header", "rsaes-oaep-key")
    intermediate, root = real("stMicroCaCerts__stmtpmekint02.crt"), real("stMicroCaCerts__stmtpmekroot.crt")
    then = datetime(2020, 1, 1, tzinfo=UTC)
    assert verify_ek_chain(leaf, (root,), (intermediate,), then) == (leaf, intermediate, root)
    assert verify_ek_chain(leaf, (intermediate,), (), then) == (leaf, intermediate)
    # The TPM was made by STM, whatever day it is; that the date has passed is told apart.
    path = verify_ek_chain(leaf, (root,), (intermediate,), datetime(2026, 1, 1, tzinfo=UTC))
    assert valid_until(path).date().isoformat() == "2024-02-23"
    for roots, intermediates in (((root,), ()), ((), (intermediate, root)), ((), ())):
        with pytest.raises(CertificateInvalid, match="does not lead to a trusted TPM root"):
            verify_ek_chain(leaf, roots, intermediates, then)


def test_every_flipped_byte_of_a_certificate_is_refused(manufacturer: Manufacturer) -> None:
    der = manufacturer.certify(KEY.public_key())
    root = parse_ek_certificate(manufacturer.root)
    good = parse_ek_certificate(der)
    verify_ek_chain(good, (root,), (), NOW)
    for at in range(len(der)):
        flipped = der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :]
        with suppress(AttestationError):
            changed = parse_ek_certificate(flipped)
            # Outside what is signed only the outer algorithm's own bytes could differ without notice.
            with pytest.raises(CertificateInvalid):
                verify_ek_chain(changed, (root,), (), NOW)


def test_known_wrappings_are_taken_off_and_recorded(manufacturer: Manufacturer) -> None:
    der = manufacturer.certify(KEY.public_key())
    header = bytes.fromhex("100100") + len(der).to_bytes(2, "big") + bytes.fromhex("1002")
    for data, quirk in (
        (der + bytes(40), "trailing-bytes"),
        (header + der, "nv-header"),
        (core.OctetString(der).dump(), "octet-string"),
    ):
        certificate = parse_ek_certificate(data)
        assert certificate.der == der
        assert certificate.quirks == (quirk,)
    assert load_trusted_certificate(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)).der == der


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_a_clear_error(data: bytes) -> None:
    der = ROOT
    for candidate in (data, b"0\x82" + data, b"\x04\x82" + data, der[:60] + data, b"-----BEGIN " + data):
        with suppress(AttestationError):
            load_trusted_certificate(candidate)


def test_limits_come_first() -> None:
    with pytest.raises(TooLarge):
        parse_ek_certificate(bytes(9000))
    with pytest.raises(Malformed):
        load_trusted_certificate(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


# ---- issuers that may not issue ------------------------------------------------------------------------------------


Key = ec.EllipticCurvePrivateKey


def issue(
    subject: str, issuer: str, key: Key, signer: Key, start: datetime = NOW - timedelta(days=2), **how: object
) -> EkCertificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(NOW + timedelta(days=int(str(how.get("days", 9)))))
    )
    if how.get("ca") is not None:
        length = how.get("length")
        builder = builder.add_extension(x509.BasicConstraints(True, length if isinstance(length, int) else None), True)
    if how.get("usage"):
        builder = builder.add_extension(x509.ExtendedKeyUsage([ObjectIdentifier("2.23.133.8.1")]), False)
    if how.get("critical"):
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
    return parse_ek_certificate(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    ("how", "holds"),
    [
        ({"ca": True}, True),
        ({"ca": True, "length": 0}, True),
        ({}, False),
        ({"ca": True, "days": -1}, True),
        ({"ca": True, "start": NOW + timedelta(days=1)}, False),
        ({"ca": True, "critical": True}, False),
    ],
)
def test_an_intermediate_must_be_an_authority_that_is_valid_and_understood(how: dict[str, Any], holds: bool) -> None:
    top, middle = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = issue("root", "root", top, top, ca=True)
    between = issue("middle", "root", middle, top, **how)
    leaf = issue("ek", "middle", KEY, middle, usage=True)
    if holds:
        assert len(verify_ek_chain(leaf, (root,), (between,), NOW)) == 3
    else:
        with pytest.raises(CertificateInvalid):
            verify_ek_chain(leaf, (root,), (between,), NOW)


def test_a_path_longer_than_an_authority_allows_is_refused() -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    root = issue("root", "root", keys[0], keys[0], ca=True, length=0)
    between = issue("middle", "root", keys[1], keys[0], ca=True)
    leaf = issue("ek", "middle", KEY, keys[1], usage=True)
    with pytest.raises(CertificateInvalid):
        verify_ek_chain(leaf, (root,), (between,), NOW)


def test_an_authority_itself_is_no_endorsement_certificate(manufacturer: Manufacturer) -> None:
    root = parse_ek_certificate(manufacturer.root)
    with pytest.raises(CertificateInvalid, match="not one of an endorsement key"):
        verify_ek_chain(root, (root,), (), NOW)


def test_authorities_that_certify_each_other_end_the_search() -> None:
    one, two = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    a, b = issue("a", "b", one, two, ca=True), issue("b", "a", two, one, ca=True)
    leaf = issue("ek", "a", KEY, one, usage=True)
    with pytest.raises(CertificateInvalid, match="does not lead"):
        verify_ek_chain(leaf, (), (a, b), NOW)


def test_a_leaf_that_demands_something_unknown_is_refused() -> None:
    top = ec.generate_private_key(ec.SECP256R1())
    root = issue("root", "root", top, top, ca=True)
    leaf = issue("ek", "root", KEY, top, usage=True, critical=True)
    with pytest.raises(CertificateInvalid, match=r"1\.2\.3\.4"):
        verify_ek_chain(leaf, (root,), (), NOW)


def test_a_chain_stays_good_when_its_dates_have_passed_but_not_before_they_came(manufacturer: Manufacturer) -> None:
    leaf, root = parse_ek_certificate(manufacturer.certify(KEY.public_key())), parse_ek_certificate(manufacturer.root)
    path = verify_ek_chain(leaf, (root,), (), NOW)
    assert path == verify_ek_chain(leaf, (root,), (), NOW + timedelta(days=5000))
    assert NOW < valid_until(path) < NOW + timedelta(days=5000)
    with pytest.raises(CertificateInvalid, match="not valid before"):
        verify_ek_chain(leaf, (root,), (), NOW - timedelta(days=50))


def test_a_root_that_is_trusted_no_more_leads_nowhere(manufacturer: Manufacturer) -> None:
    leaf, root = parse_ek_certificate(manufacturer.certify(KEY.public_key())), parse_ek_certificate(manufacturer.root)
    assert verify_ek_chain(leaf, (root,), (), NOW)
    other = parse_ek_certificate(Manufacturer().root)
    assert other.subject == root.subject
    for roots in ((), (other,)):
        with pytest.raises(CertificateInvalid, match="does not lead"):
            verify_ek_chain(leaf, roots, (root,), NOW)


def test_an_authority_certifies_nothing_after_its_end() -> None:
    top = ec.generate_private_key(ec.SECP256R1())
    over = issue("root", "root", top, top, ca=True, days=3)
    later = NOW + timedelta(days=10)
    leaf = issue("ek", "root", KEY, top, usage=True, start=later, days=20)
    with pytest.raises(CertificateInvalid, match="does not lead"):
        verify_ek_chain(leaf, (over,), (), later + timedelta(days=1))
