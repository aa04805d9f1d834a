"""Key pairs in PKCS #12 files (RFC 7292; PFX on Windows): one private key and its certificate under a passphrase.

Written with PBES2 (PBKDF2-HMAC-SHA-256, AES-256-CBC) and an HMAC-SHA-256 over the whole, which OpenSSL and Windows
since 2019 open. Whatever other tools write is read, as long as it holds an RSA key for the use in question.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, pkcs12

from hgs.keyprotection import certificates
from hgs.keyprotection.certificates import CertificateUse
from hgs.keyprotection.errors import GuardianError, PfxPassphraseError
from hgs.keyprotection.secret import Secret

PFX_MAX: Final = 64 * 1024
KDF_ROUNDS: Final = 600_000
"""OWASP's figure for PBKDF2-HMAC-SHA-256."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An RSA key and its certificate (DER), fit for the use they were read for."""

    certificate: bytes
    key: rsa.RSAPrivateKey = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, 64 hexadecimal digits."""
        return certificates.fingerprint(self.certificate)


def write_pfx(key: rsa.RSAPrivateKey, certificate: bytes, passphrase: Secret, *, kdf_rounds: int = KDF_ROUNDS) -> bytes:
    """A PKCS #12 file with this key and its certificate (DER)."""
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(kdf_rounds)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(passphrase.reveal())
    )
    loaded = x509.load_der_x509_certificate(certificate)
    return pkcs12.serialize_key_and_certificates(None, key, loaded, None, encryption)


def read_pfx(data: bytes, passphrase: Secret, use: CertificateUse) -> KeyPair:
    """The key pair in a PKCS #12 file, checked for `use`: RSA of 2048 to 8192 bits, key usage.

    Certificates of other keys in the file, such as those of issuers, are not looked at.
    Raises PfxPassphraseError, GuardianError.
    """
    if len(data) > PFX_MAX:
        raise GuardianError("pfx-too-large", f"The PFX file has {len(data)} bytes; {PFX_MAX} is most.")
    key, certificate = open_pfx(data, passphrase)
    if certificate is None:
        raise GuardianError(
            "pfx-no-certificate",
            "The PFX file holds no certificate for its key.",
            "Export key and certificate together into one PFX file.",
        )
    der = certificate.public_bytes(Encoding.DER)
    certificates.rsa_key_of(der, use)
    return KeyPair(der, key)


def open_pfx(data: bytes, passphrase: Secret) -> tuple[rsa.RSAPrivateKey, x509.Certificate | None]:
    """What is in a PKCS #12 file, unchecked. Raises PfxPassphraseError; GuardianError where there is no RSA key."""
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(data, passphrase.reveal())
    except (ValueError, UnsupportedAlgorithm):
        # A damaged file and a wrong passphrase cannot be told apart: the integrity check depends on the passphrase.
        raise PfxPassphraseError from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise GuardianError("not-rsa", "The file does not hold an RSA private key.")
    return key, certificate
