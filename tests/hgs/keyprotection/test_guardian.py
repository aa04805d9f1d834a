import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from hgs.keyprotection import certificates
from hgs.keyprotection.errors import GuardianError
from hgs.keyprotection.guardian import attach_keys, create_guardian_keys, guardian_from
from tests.hgs.keyprotection.guardians import NOW, branch, lab, stranger


def test_new_keys_have_two_self_signed_certificates_for_ten_years() -> None:
    guardian = lab().guardian
    for der, usage in ((guardian.signing_certificate, "signing"), (guardian.encryption_certificate, "encryption")):
        certificate = x509.load_der_x509_certificate(der)
        assert certificate.subject == certificate.issuer
        assert certificate.not_valid_before_utc == NOW
        assert certificate.not_valid_after_utc - NOW > dt.timedelta(days=3650)
        certificates.rsa_key_of(der, usage)  # type: ignore[arg-type]


def test_keys_are_3072_bits_unless_asked_otherwise() -> None:
    assert create_guardian_keys("big", NOW).signing_key.key_size == 3072


def test_private_keys_do_not_print() -> None:
    assert "RSAPrivateKey" not in repr(lab())


def test_a_signing_certificate_is_not_taken_for_an_encryption_certificate() -> None:
    guardian = lab().guardian
    with pytest.raises(GuardianError) as caught:
        certificates.rsa_key_of(guardian.signing_certificate, "encryption")
    assert caught.value.code == "key-usage"
    with pytest.raises(GuardianError):
        certificates.rsa_key_of(guardian.encryption_certificate, "signing")


def test_swapped_certificate_signatures_are_refused() -> None:
    guardian = lab().guardian
    with pytest.raises(GuardianError) as caught:
        guardian_from(
            "lab",
            guardian.signing_certificate,
            guardian.encryption_certificate,
            guardian.encryption_certificate_signature,
            guardian.signing_certificate_signature,
        )
    assert caught.value.code == "signing-certificate-signature"


def test_an_encryption_certificate_of_somebody_else_is_refused() -> None:
    guardian, other = lab().guardian, stranger().guardian
    with pytest.raises(GuardianError) as caught:
        guardian_from(
            "lab",
            guardian.signing_certificate,
            other.encryption_certificate,
            guardian.signing_certificate_signature,
            other.encryption_certificate_signature,
        )
    assert caught.value.code == "encryption-certificate-signature"


def test_keys_of_somebody_else_cannot_be_attached() -> None:
    with pytest.raises(GuardianError) as caught:
        attach_keys(lab().guardian, branch().signing_key, lab().encryption_key)
    assert caught.value.code == "key-mismatch"


@pytest.mark.parametrize("name", ["", " lab", "a/b", "..", "x" * 41, "tab\t", "é", "a\nb", "trailing "])
def test_names_that_could_mislead_are_refused(name: str) -> None:
    with pytest.raises(GuardianError):
        create_guardian_keys(name, NOW, key_size=2048)


def _certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_short_keys_and_keys_of_other_kinds_are_refused() -> None:
    with pytest.raises(GuardianError) as caught:
        certificates.rsa_key_of(_certificate(rsa.generate_private_key(65537, 1024)), "signing")  # noqa: S505
    assert caught.value.code == "key-size"
    with pytest.raises(GuardianError) as caught:
        certificates.rsa_key_of(_certificate(ec.generate_private_key(ec.SECP256R1())), "signing")
    assert caught.value.code == "not-rsa"


def test_bytes_behind_a_certificate_are_refused() -> None:
    with pytest.raises(GuardianError):
        certificates.load_certificate(lab().guardian.signing_certificate + b"\0")


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_certificate(data: bytes) -> None:
    with pytest.raises(GuardianError):
        certificates.load_certificate(data)


def test_fingerprints_are_grouped_by_four_and_compared_as_people_write_them() -> None:
    fingerprint = lab().guardian.fingerprint
    grouped = certificates.grouped(fingerprint)
    assert len(grouped.split()) == 16
    assert certificates.same_fingerprint(grouped, fingerprint)
    assert certificates.same_fingerprint(grouped.replace(" ", ":").lower(), fingerprint)
    assert not certificates.same_fingerprint(grouped[:-1], fingerprint)


def test_a_certificate_with_the_same_extension_twice_is_refused() -> None:
    """The library reads such extensions only when it is asked for them, and then raises an error of another kind."""
    der = lab().guardian.signing_certificate
    basic_constraints, key_usage = bytes.fromhex("0603551d13"), bytes.fromhex("0603551d0f")
    assert basic_constraints in der
    with pytest.raises(GuardianError) as caught:
        certificates.rsa_key_of(der.replace(basic_constraints, key_usage), "signing")
    assert caught.value.code == "bad-certificate"


def test_a_certificate_of_a_version_that_does_not_exist_is_refused() -> None:
    der = lab().guardian.signing_certificate
    version_3 = bytes.fromhex("a003020102")
    assert version_3 in der
    with pytest.raises(GuardianError) as caught:
        certificates.load_certificate(der.replace(version_3, bytes.fromhex("a003020122")))
    assert caught.value.code == "bad-certificate"


def test_an_exponent_as_long_as_the_key_is_refused() -> None:
    """Each check of such a key's signatures would take a hundred times as long."""
    modulus = lab().signing_key.public_key().public_numbers().n
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "slow")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(rsa.RSAPublicNumbers(2**2000 + 1, modulus).public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
        .sign(lab().signing_key, hashes.SHA256())
    )
    with pytest.raises(GuardianError) as caught:
        certificates.rsa_key_of(certificate.public_bytes(serialization.Encoding.DER), "signing")
    assert caught.value.code == "key-exponent"
