"""Files that bring a guardian's key to HGS: certificates and private keys in PEM or DER.

An administrator gives them. What is in them is read by `cryptography`; here it is said what of it is taken: one RSA
key, and the certificate that belongs to it. PFX files are read in :mod:`hgs.keyprotection.pfx`.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_private_key,
    load_pem_private_key,
)

from hgs.keyprotection.certificates import CertificateUse, key_octets_of, public_octets
from hgs.keyprotection.errors import GuardianError
from hgs.keyprotection.pfx import KeyPair
from hgs.keyprotection.secret import Secret
from portal.kernel.errors import Invalid

FILE_MAX: Final = 64 * 1024
_CERTIFICATES_MAX: Final = 10
_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm)
"""What cryptography raises for a file that it cannot read, or a password that is wrong, missing or needless."""


def read_key_and_certificate(certificates: bytes, private_key: bytes, password: Secret, use: CertificateUse) -> KeyPair:
    """A private key (PEM or DER, under a password or not) and the one of the certificates that belongs to it.

    Both may be the same file. Raises Invalid, also where the certificate is not for ``use``.
    """
    key = read_private_key(private_key, password)
    wanted = public_octets(key.public_key())
    refused: Invalid | None = None
    for certificate in read_certificates(certificates):
        try:
            if key_octets_of(certificate, use) == wanted:
                return KeyPair(certificate, key)
        except GuardianError as error:
            refused = Invalid(error.code, error.message, error.advice)
    raise refused or Invalid("key-mismatch", "None of the certificates belongs to the private key.")


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
    blocks = _BLOCK.findall(content) if b"-----BEGIN" in content else [content]
    if not 0 < len(blocks) <= _CERTIFICATES_MAX:
        raise Invalid("certificate-unreadable", f"A file has one to {_CERTIFICATES_MAX} certificates.")
    load = x509.load_pem_x509_certificate if b"-----BEGIN" in content else x509.load_der_x509_certificate
    try:
        return [load(block).public_bytes(Encoding.DER) for block in blocks]
    except Exception as error:  # the library raises several unrelated types for malformed certificates
        raise Invalid("certificate-unreadable", "The file holds no certificate that can be read.") from error


def _check_length(content: bytes) -> None:
    if len(content) > FILE_MAX:
        raise Invalid("key-file-too-large", f"A file with a key or certificates has at most {FILE_MAX} bytes.")


def _rsa(key: object) -> rsa.RSAPrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Invalid("not-rsa", "The private key is no RSA key; a guardian's is.")
    return key
