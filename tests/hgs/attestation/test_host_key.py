"""Host keys are read from what hosts and administrators have, and a signature counts by one of a few schemes."""

import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.errors import AttestationError, Malformed, SignatureInvalid, TooLarge, Unsupported
from hgs.attestation.host_key import MAX_HOST_KEY, read_host_key, read_host_key_file, verify_host_signature
from hgs.attestation.identity_key import to_cng

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
EC_384 = ec.generate_private_key(ec.SECP384R1())
MESSAGE = b"host key and identity key"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def certificate(key: PrivateKey, *, client: bool = True, signs: bool = True, days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hv01")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=days))
    )
    if client:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    if signs:
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def pem(label: str, der: bytes) -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


def test_each_form_on_the_wire_is_the_same_host() -> None:
    public = RSA_KEY.public_key()
    forms = [
        spki(RSA_KEY), public.public_bytes(Encoding.DER, PublicFormat.PKCS1), to_cng(public), certificate(RSA_KEY),
    ]  # fmt: skip
    assert {read_host_key(form).fingerprint for form in forms} == {read_host_key(forms[0]).fingerprint}


@pytest.mark.parametrize("key", [EC_KEY, EC_384], ids=["P-256", "P-384"])
def test_keys_on_elliptic_curves_are_taken(key: ec.EllipticCurvePrivateKey) -> None:
    assert read_host_key(spki(key)).fingerprint == read_host_key(certificate(key)).fingerprint


def test_a_certificate_that_ran_out_counts_because_the_key_alone_does() -> None:
    assert read_host_key(certificate(RSA_KEY, days=1)).subject == "CN=hv01"


@pytest.mark.parametrize("content", [certificate(RSA_KEY), pem("CERTIFICATE", certificate(RSA_KEY))])
def test_a_proper_certificate_is_registered_without_warnings(content: bytes) -> None:
    assert read_host_key_file(content).warnings == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (certificate(RSA_KEY, client=False), ["client authentication"]),
        (certificate(RSA_KEY, signs=False), ["digital signature"]),
        (certificate(RSA_KEY, client=False, signs=False), ["client authentication", "digital signature"]),
    ],
)
def test_what_the_original_would_miss_is_a_warning(content: bytes, said: list[str]) -> None:
    warnings = read_host_key_file(content).warnings
    assert len(warnings) == len(said)
    assert all(text in warning for text, warning in zip(said, warnings, strict=True))


@pytest.mark.parametrize("label", ["PUBLIC KEY", "RSA PUBLIC KEY"])
def test_a_public_key_file_is_registered(label: str) -> None:
    form = PublicFormat.SubjectPublicKeyInfo if label == "PUBLIC KEY" else PublicFormat.PKCS1
    content = pem(label, RSA_KEY.public_key().public_bytes(Encoding.DER, form))
    assert read_host_key_file(content).spki == spki(RSA_KEY)


def test_a_private_key_is_refused_with_a_warning_to_keep_it() -> None:
    content = RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(Malformed, match="private key"):
        read_host_key_file(content)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"-----BEGIN CERTIFICATE-----", pem("CERTIFICATE", b"nothing"), pem("PUBLIC KEY", spki(RSA_KEY)) * 2,
        pem("CERTIFICATE REQUEST", certificate(RSA_KEY)), certificate(RSA_KEY) + b"\x00", spki(RSA_KEY)[:-1],
    ],
)  # fmt: skip
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(Malformed):
        read_host_key_file(content)


def test_weak_keys_and_other_kinds_are_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the point of it
    for content in (spki(weak), certificate(weak)):
        with pytest.raises(Unsupported):
            read_host_key(content)
    with pytest.raises(Unsupported):
        read_host_key(spki(ec.generate_private_key(ec.SECP521R1())))
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(Malformed):
        read_host_key(edwards.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(TooLarge):
        read_host_key(bytes(MAX_HOST_KEY + 1))


@given(st.binary(max_size=500))
def test_nonsense_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(AttestationError):
        read_host_key_file(data)


HASHES = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]


@pytest.mark.parametrize("algorithm", HASHES, ids=lambda item: item.name)
def test_rsa_signatures_count_in_both_schemes(algorithm: hashes.HashAlgorithm) -> None:
    host = read_host_key(spki(RSA_KEY))
    digits = algorithm.name[3:]
    plain = RSA_KEY.sign(MESSAGE, padding.PKCS1v15(), algorithm)
    assert verify_host_signature(host, plain, MESSAGE) == f"RSASSA-PKCS1-v1_5 with SHA-{digits}"
    for salt in (padding.PSS.DIGEST_LENGTH, padding.PSS.MAX_LENGTH):
        probabilistic = RSA_KEY.sign(MESSAGE, padding.PSS(padding.MGF1(algorithm), salt), algorithm)
        assert verify_host_signature(host, probabilistic, MESSAGE) == f"RSASSA-PSS with SHA-{digits}"


@pytest.mark.parametrize("key", [EC_KEY, EC_384], ids=["P-256", "P-384"])
def test_ecdsa_signatures_count_in_both_encodings(key: ec.EllipticCurvePrivateKey) -> None:
    host = read_host_key(spki(key))
    der = key.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    size = key.key_size // 8
    flat = b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(der))
    assert verify_host_signature(host, der, MESSAGE) == "ECDSA with SHA-256"
    assert verify_host_signature(host, flat, MESSAGE) == "ECDSA with SHA-256"


def test_sha1_does_not_count() -> None:
    host = read_host_key(spki(RSA_KEY))
    with pytest.raises(SignatureInvalid):
        verify_host_signature(host, RSA_KEY.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA1()), MESSAGE)  # noqa: S303


@given(st.data())
def test_any_changed_byte_ends_a_signature(data: st.DataObject) -> None:
    host = read_host_key(spki(RSA_KEY))
    signature = RSA_KEY.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    changed, message = bytearray(signature), bytearray(MESSAGE)
    target = data.draw(st.sampled_from([changed, message]))
    target[data.draw(st.integers(0, len(target) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SignatureInvalid):
        verify_host_signature(host, bytes(changed), bytes(message))


@pytest.mark.parametrize("signature", [b"", bytes(256), bytes(5000), b"\xff" * 64])
def test_what_is_no_signature_is_refused(signature: bytes) -> None:
    for key in (RSA_KEY, EC_KEY):
        with pytest.raises(SignatureInvalid):
            verify_host_signature(read_host_key(spki(key)), signature, MESSAGE)
