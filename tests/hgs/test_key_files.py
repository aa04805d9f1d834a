"""Files with keys: what is taken of them, and what is refused with a sentence."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from hgs import key_files
from hgs.keyprotection.certificates import issue_self_signed
from hgs.keyprotection.pfx import KeyPair
from hgs.keyprotection.secret import Secret
from portal.kernel.errors import Invalid
from tests.hgs.keyprotection.guardians import branch, lab

PASSWORD = Secret(b"correct horse")
NONE = Secret(b"")
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def key() -> rsa.RSAPrivateKey:
    return lab().signing_key


def certificate() -> bytes:
    return lab().guardian.signing_certificate


def as_pem(*ders: bytes) -> bytes:
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders)


def key_file(encoding: Encoding = Encoding.PEM, password: Secret = NONE) -> bytes:
    return key().private_bytes(encoding, PrivateFormat.PKCS8, under(password))


def under(password: Secret) -> KeySerializationEncryption:
    return BestAvailableEncryption(password.reveal()) if len(password) else NoEncryption()


def is_ours(found: KeyPair) -> bool:
    return (found.certificate, found.key.private_numbers()) == (certificate(), key().private_numbers())


def refused(call: object, code: str) -> None:
    with pytest.raises(Invalid) as error:
        call()  # type: ignore[operator]
    assert error.value.code == code


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("password", [NONE, PASSWORD], ids=["plain", "encrypted"])
def test_a_key_file_goes_with_its_certificate(encoding: Encoding, password: Secret) -> None:
    content = key_file(encoding, password)
    for certificates in (
        certificate(),
        as_pem(certificate()),
        as_pem(branch().guardian.signing_certificate, certificate()),
    ):
        assert is_ours(key_files.read_key_and_certificate(certificates, content, password, "signing"))


def test_both_may_be_in_one_file() -> None:
    content = key_file() + as_pem(certificate())
    assert is_ours(key_files.read_key_and_certificate(content, content, NONE, "signing"))


def test_a_renewed_certificate_goes_with_its_key_as_well() -> None:
    renewed = issue_self_signed("renewed", key(), "signing", NOW + dt.timedelta(days=400))
    assert key_files.read_key_and_certificate(renewed, key_file(), NONE, "signing").certificate == renewed


def test_a_certificate_of_another_use_is_refused() -> None:
    refused(lambda: key_files.read_key_and_certificate(certificate(), key_file(), NONE, "encryption"), "key-usage")


def test_a_certificate_of_another_key_is_refused() -> None:
    other = branch().guardian.signing_certificate
    refused(lambda: key_files.read_key_and_certificate(other, key_file(), NONE, "signing"), "key-mismatch")


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (key_file(password=PASSWORD), NONE),
        (key_file(password=PASSWORD), Secret(b"wrong")),
        (key_file(), PASSWORD),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", NONE),
        (b"", NONE),
        (certificate(), NONE),
    ],
)
def test_a_key_that_does_not_open_is_refused(content: bytes, password: Secret) -> None:
    refused(lambda: key_files.read_private_key(content, password), "key-unreadable")


def test_a_private_key_that_is_not_rsa_is_refused() -> None:
    content = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    refused(lambda: key_files.read_private_key(content, NONE), "not-rsa")


def test_files_of_any_length_are_refused_before_they_are_read() -> None:
    large = bytes(key_files.FILE_MAX + 1)
    refused(lambda: key_files.read_private_key(large, NONE), "key-file-too-large")
    refused(lambda: key_files.read_certificates(large), "key-file-too-large")


def test_more_certificates_than_ten_are_refused() -> None:
    refused(lambda: key_files.read_certificates(as_pem(*[certificate()] * 11)), "certificate-unreadable")


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_no_bytes_raise_anything_else(content: bytes, password: bytes) -> None:
    pem = b"-----BEGIN CERTIFICATE-----\n" + content + b"\n-----END CERTIFICATE-----\n"
    for one in (content, pem):
        for read in (
            lambda one=one: key_files.read_private_key(one, Secret(password)),
            lambda one=one: key_files.read_certificates(one),
        ):
            with pytest.raises(Invalid):
                read()  # type: ignore[no-untyped-call]
