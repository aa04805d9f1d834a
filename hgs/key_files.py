"""Files that bring a guardian's key to HGS: PFX (PKCS #12), and certificates and private keys in PEM or DER.

An administrator gives them. What is in them is read by `cryptography`; here it is said what of it is taken: one RSA
key, and the certificate that belongs to it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from hgs.keyprotection.certificates import public_octets
from hgs.keyprotection.secret import Secret
from portal.kernel.errors import Invalid

FILE_MAX: Final = 64 * 1024
_CERTIFICATES_MAX: Final = 10
_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm)
"""What cryptography raises for a file that it cannot read, or a password that is wrong, missing or needless."""


@dataclass(frozen=True)
class KeyFile:
    """A certificate (DER), and the private key that belongs to it."""

    certificate: bytes
    key: rsa.RSAPrivateKey = field(repr=False)


def read_pfx(content: bytes, password: Secret) -> KeyFile:
    """The key and its certificate in a PFX file; other certificates in it are left out. Raises Invalid."""
    _check_length(content)
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(content, password.reveal() or None)
    except _UNREADABLE:
        raise Invalid(
            "pfx-unreadable",
            "The PFX file does not open: it is damaged, or the password is wrong.",
            "Check the password; export the key again with AES-256 and SHA-256.",
        ) from None
    if certificate is None or key is None:
        raise Invalid("pfx-incomplete", "The PFX file has no private key with its certificate.")
    return KeyFile(_der(certificate), _rsa(key))


def read_key_and_certificate(certificates: bytes, private_key: bytes, password: Secret) -> KeyFile:
    """A private key (PEM or DER, under a password or not) and the one of the certificates that belongs to it.

    Both may be the same file. Raises Invalid.
    """
    key = read_private_key(private_key, password)
    wanted = public_octets(key.public_key())
    for certificate in read_certificates(certificates):
        public = x509.load_der_x509_certificate(certificate).public_key()
        if isinstance(public, rsa.RSAPublicKey) and public_octets(public) == wanted:
            return KeyFile(certificate, key)
    raise Invalid("key-mismatch", "None of the certificates belongs to the private key.")


def read_private_key(content: bytes, password: Secret) -> rsa.RSAPrivateKey:
    """An RSA private key in PEM or DER. Raises Invalid."""
    _check_length(content)
    load: Callable[..., Any] = load_pem_private_key if b"-----BEGIN" in content else load_der_private_key
    try:
        return _rsa(load(content, password.reveal() or None))
    except _UNREADABLE:
        raise Invalid(
            "key-unreadable",
            "The private key does not open: the file holds none, or the password is wrong or not needed.",
            "Give a key in PEM or DER, and the password where it has one.",
        ) from None


def read_certificates(content: bytes) -> list[bytes]:
    """The certificates in a file, one in DER or up to ten in PEM, as DER. Raises Invalid."""
    _check_length(content)
    try:
        if b"-----BEGIN" in content:
            found = x509.load_pem_x509_certificates(content)
        else:
            found = [x509.load_der_x509_certificate(content)]
        for certificate in found:
            certificate.public_key()
    except _UNREADABLE:
        raise Invalid("certificate-unreadable", "The file holds no certificate that can be read.") from None
    if not 0 < len(found) <= _CERTIFICATES_MAX:
        raise Invalid("certificate-unreadable", f"A file has one to {_CERTIFICATES_MAX} certificates.")
    return [_der(certificate) for certificate in found]


def _check_length(content: bytes) -> None:
    if len(content) > FILE_MAX:
        raise Invalid("key-file-too-large", f"A file with a key or certificates has at most {FILE_MAX} bytes.")


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _rsa(key: object) -> rsa.RSAPrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Invalid("not-rsa", "The private key is no RSA key; a guardian's is.")
    return key
