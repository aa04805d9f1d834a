"""Guardians: a signing and an encryption certificate, bound by the signing key ([MS-KPS] 2.2.2.4, 6.4).

`Guardian` is public and, once it exists, verified: the constructor is given only certificates whose signatures were
checked (`guardian_from`). `GuardianKeys` adds the private keys; an owner guardian and HGS both hold one.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.keyprotection import algorithms, certificates
from hgs.keyprotection.certificates import CertificateUse
from hgs.keyprotection.elements import Signature
from hgs.keyprotection.errors import GuardianError

OTHER_SIGNING_MAX: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,38}[A-Za-z0-9._-])?")


@dataclass(frozen=True, slots=True)
class Guardian:
    """The public half of a guardian. Certificates are DER."""

    name: str
    signing_certificate: bytes
    encryption_certificate: bytes
    signing_certificate_signature: Signature
    encryption_certificate_signature: Signature
    other_signing_certificates: tuple[bytes, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the signing certificate: what identifies this guardian. 64 hexadecimal digits."""
        return certificates.fingerprint(self.signing_certificate)


@dataclass(frozen=True, slots=True)
class GuardianKeys:
    """A guardian with its private keys."""

    guardian: Guardian
    signing_key: rsa.RSAPrivateKey = field(repr=False)
    encryption_key: rsa.RSAPrivateKey = field(repr=False)


def check_name(name: str) -> str:
    """A guardian's name: 1 to 40 letters, digits, space, dot, hyphen, underscore. Raises GuardianError."""
    if not _NAME.fullmatch(name):
        raise GuardianError(
            "guardian-name",
            "The guardian's name is not acceptable.",
            "Use 1 to 40 letters, digits, spaces, dots, hyphens or underscores, beginning with a letter or digit.",
        )
    return name


def create_guardian_keys(
    name: str,
    now: dt.datetime,
    *,
    key_size: int = certificates.RSA_KEY_NEW,
    validity: dt.timedelta = certificates.VALIDITY,
) -> GuardianKeys:
    """New keys and self-signed certificates for a guardian. `now` is aware; keys come from the system's randomness."""
    check_name(name)
    signing, encryption = _new_key(key_size), _new_key(key_size)
    signing_der = certificates.issue_self_signed(f"{name} guardian signing", signing, "signing", now, validity)
    encryption_der = certificates.issue_self_signed(
        f"{name} guardian encryption", encryption, "encryption", now, validity
    )
    return guardian_keys_from(name, signing_der, signing, encryption_der, encryption)


def _new_key(key_size: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=key_size)


def guardian_keys_from(
    name: str,
    signing_certificate: bytes,
    signing_key: rsa.RSAPrivateKey,
    encryption_certificate: bytes,
    encryption_key: rsa.RSAPrivateKey,
    other_signing_certificates: Sequence[bytes] = (),
) -> GuardianKeys:
    """Guardian keys from existing certificates; checks that keys and certificates match. Raises GuardianError."""
    _check_pair(signing_certificate, signing_key, "signing")
    _check_pair(encryption_certificate, encryption_key, "encryption")
    guardian = guardian_from(
        name,
        signing_certificate,
        encryption_certificate,
        algorithms.sign(signing_key, signing_certificate),
        algorithms.sign(signing_key, encryption_certificate),
        tuple(other_signing_certificates),
    )
    return GuardianKeys(guardian, signing_key, encryption_key)


def attach_keys(guardian: Guardian, signing_key: rsa.RSAPrivateKey, encryption_key: rsa.RSAPrivateKey) -> GuardianKeys:
    """Join a guardian with its private keys; checks that they match. Raises GuardianError."""
    _check_pair(guardian.signing_certificate, signing_key, "signing")
    _check_pair(guardian.encryption_certificate, encryption_key, "encryption")
    return GuardianKeys(guardian, signing_key, encryption_key)


def _check_pair(certificate: bytes, key: rsa.RSAPrivateKey, use: CertificateUse) -> None:
    public = certificates.rsa_key_of(certificate, use)
    if certificates.public_octets(public) != certificates.public_octets(key.public_key()):
        raise GuardianError("key-mismatch", f"The {use} key is not the key of the {use} certificate.")


def guardian_from(
    name: str,
    signing_certificate: bytes,
    encryption_certificate: bytes,
    signing_certificate_signature: Signature,
    encryption_certificate_signature: Signature,
    other_signing_certificates: tuple[bytes, ...] = (),
) -> Guardian:
    """A guardian whose two certificate signatures were checked. Raises GuardianError or UnknownAlgorithmError."""
    check_name(name)
    signer = certificates.rsa_key_of(signing_certificate, "signing")
    certificates.rsa_key_of(encryption_certificate, "encryption")
    if not algorithms.is_signed(signer, signing_certificate_signature, signing_certificate):
        raise GuardianError("signing-certificate-signature", "The guardian's signing certificate is not self-signed.")
    if not algorithms.is_signed(signer, encryption_certificate_signature, encryption_certificate):
        raise GuardianError(
            "encryption-certificate-signature",
            "The guardian's encryption certificate is not signed by its signing certificate.",
        )
    if len(other_signing_certificates) > OTHER_SIGNING_MAX:
        raise GuardianError("too-many-certificates", f"A guardian has at most {OTHER_SIGNING_MAX} other certificates.")
    for other in other_signing_certificates:
        certificates.rsa_key_of(other, "signing")
    return Guardian(
        name,
        signing_certificate,
        encryption_certificate,
        signing_certificate_signature,
        encryption_certificate_signature,
        other_signing_certificates,
    )
