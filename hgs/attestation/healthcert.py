"""Health certificates: what an attested host shows to the key protection service.

Profile (``docs/formats/health-certificate.md``, after the one real certificate that is public): X.509 v3,
sha256WithRSAEncryption, 128-bit serial, subject ``CN=<64 upper-case hex digits>`` (SHA-256 of the endorsement key),
at most 8 hours, and exactly four extensions in this order: KeyUsage (critical), Microsoft application policies with
one policy, SubjectKeyIdentifier = MD5 of the SubjectPublicKeyInfo, AuthorityKeyIdentifier with key id, issuer, serial.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from asn1crypto import core
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

from hgs.attestation.errors import CertificateInvalid

MAX_LIFETIME: Final = timedelta(hours=8)
SIGNER_BITS: Final = 2048
SIGNER_NAME: Final = "Guarded Fabric Remote Attestation Service"
MAX_CERTIFICATE: Final = 8192
_APPLICATION_POLICIES: Final = ObjectIdentifier("1.3.6.1.4.1.311.21.10")
# AlgorithmIdentifier of sha256WithRSAEncryption in DER. What is outside the signed part has this one form.
_SHA256_RSA: Final = bytes.fromhex("300d06092a864886f70d01010b0500")
_CLOCK_TOLERANCE: Final = timedelta(seconds=60)
_SUBJECT: Final = re.compile(r"[0-9A-F]{64}")


class CertificateKind(StrEnum):
    """What the certified identity key is for."""

    ENCRYPTION = "encryption"
    SIGNING = "signing"

    @property
    def policy(self) -> ObjectIdentifier:
        """The application policy that marks the kind."""
        return _POLICIES[self]


_POLICIES: Final = {
    CertificateKind.ENCRYPTION: ObjectIdentifier("1.3.6.1.4.1.311.48.1.1"),
    CertificateKind.SIGNING: ObjectIdentifier("1.3.6.1.4.1.311.48.1.2"),
}


@dataclass(frozen=True)
class TrustedSigner:
    """An attestation signer the key protection service trusts; certificates issued before the moment are refused."""

    certificate: x509.Certificate
    deny_issued_before: datetime | None = None


@dataclass(frozen=True)
class HealthCertificate:
    """A *verified* health certificate; only :func:`verify_health_certificate` makes one."""

    der: bytes
    kind: CertificateKind
    public_key: rsa.RSAPublicKey
    ek_hash: str
    """64 lower-case hex digits, as in ``EndorsementKey.ek_hash``."""
    not_before: datetime
    not_after: datetime
    serial: int
    signer_thumbprint: str
    """SHA-256 of the signer certificate, lower-case hex."""


def make_signer(
    now: datetime, lifetime: timedelta, random_bytes: Callable[[int], bytes], *, name: str = SIGNER_NAME
) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """A fresh self-signed attestation signer: RSA 2048, digitalSignature only, no CA.

    The original's is of that size too. It signs for two years at most what counts for eight hours, well inside what
    NIST SP 800-57 allows the size for, and a signature by 3072 bits would take three times as long.
    """
    key = rsa.generate_private_key(65537, SIGNER_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = now.replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(_serial(random_bytes))
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def issue_health_certificate(
    signer_certificate: x509.Certificate,
    signer_key: rsa.RSAPrivateKey,
    ek_hash: str,
    public_key: rsa.RSAPublicKey,
    kind: CertificateKind,
    *,
    now: datetime,
    random_bytes: Callable[[int], bytes],
    lifetime: timedelta = MAX_LIFETIME,
) -> bytes:
    """DER of a new health certificate. ``ek_hash``: 64 hex digits. Raises ``ValueError`` for a longer lifetime."""
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise ValueError("A health certificate lives at most 8 hours.")
    start = now.replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ek_hash.upper())]))
        .issuer_name(signer_certificate.subject)
        .public_key(public_key)
        .serial_number(_serial(random_bytes))
        .not_valid_before(start)
        .not_valid_after(min(start + lifetime, signer_certificate.not_valid_after_utc))
    )
    for extension, critical in _profile(signer_certificate, public_key, kind):
        certificate = certificate.add_extension(extension, critical=critical)
    return certificate.sign(signer_key, hashes.SHA256()).public_bytes(Encoding.DER)


def certified_identity(der: bytes, signers: Iterable[x509.Certificate]) -> str:
    """Whom one of these signers certified at some time, whether the certificate counts or not; empty for nobody.

    It says from whom a request may come, and lets nobody in.
    """
    try:
        certificate = _load(der)
        _signer_of(certificate, (TrustedSigner(signer) for signer in signers))
        return _check_subject(certificate)
    except CertificateInvalid:
        return ""


def verify_health_certificate(
    der: bytes, trusted_signers: Iterable[TrustedSigner], now: datetime, deny_issued_before: datetime | None = None
) -> HealthCertificate:
    """Check signature, signer, dates and profile. Raises :class:`CertificateInvalid` saying which did not hold."""
    certificate = _load(der)
    signer = _signer_of(certificate, trusted_signers)
    _check_dates(certificate, signer, now, deny_issued_before)
    kind, public_key, subject = _check_profile(certificate, signer.certificate)
    return HealthCertificate(
        der=der,
        kind=kind,
        public_key=public_key,
        ek_hash=subject.lower(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        serial=certificate.serial_number,
        signer_thumbprint=signer.certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _serial(random_bytes: Callable[[int], bytes]) -> int:
    # 128 bits with the highest one set, so that every serial has the same length and none is zero.
    return int.from_bytes(random_bytes(16), "big") | (1 << 127)


def _key_usage(*, digital_signature: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=not digital_signature,
        data_encipherment=not digital_signature,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _profile(
    signer: x509.Certificate, public_key: rsa.RSAPublicKey, kind: CertificateKind
) -> list[tuple[x509.ExtensionType, bool]]:
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return [
        (_key_usage(digital_signature=kind is CertificateKind.SIGNING), True),
        (x509.UnrecognizedExtension(_APPLICATION_POLICIES, _application_policies(kind)), False),
        # An identifier, not a protection: consumers of the original expect MD5 here.
        (x509.SubjectKeyIdentifier(hashlib.md5(spki, usedforsecurity=False).digest()), False),
        (_authority_of(signer), False),
    ]


def _application_policies(kind: CertificateKind) -> bytes:
    oid: bytes = core.ObjectIdentifier(kind.policy.dotted_string).dump()
    inner = bytes([0x30, len(oid)]) + oid
    return bytes([0x30, len(inner)]) + inner


def _authority_of(signer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    digest = x509.SubjectKeyIdentifier.from_public_key(_rsa_key(signer)).digest
    return x509.AuthorityKeyIdentifier(digest, [x509.DirectoryName(signer.subject)], signer.serial_number)


def _rsa_key(certificate: x509.Certificate) -> rsa.RSAPublicKey:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        raise CertificateInvalid("The certificate does not hold an RSA key of at least 2048 bits.")
    return key


def _load(der: bytes) -> x509.Certificate:
    if len(der) > MAX_CERTIFICATE:
        raise CertificateInvalid(f"The health certificate has {len(der)} bytes; the limit is {MAX_CERTIFICATE}.")
    try:
        certificate = x509.load_der_x509_certificate(der)
        # Decoded on access: now, so that nothing fails later.
        _ = (certificate.extensions, certificate.subject, certificate.issuer, certificate.public_key())
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.serial_number)
    except Exception as error:  # the library raises several unrelated types for malformed certificates
        raise CertificateInvalid("The health certificate is not a DER certificate.") from error
    if _element(0x30, certificate.tbs_certificate_bytes + _SHA256_RSA + _bit_string(certificate.signature)) != der:
        raise CertificateInvalid("The health certificate is not of the profile: sha256WithRSAEncryption in DER.")
    return certificate


def _element(tag: int, body: bytes) -> bytes:
    return bytes([tag, 0x82]) + len(body).to_bytes(2, "big") + body


def _bit_string(value: bytes) -> bytes:
    return _element(0x03, b"\x00" + value)


def _signer_of(certificate: x509.Certificate, trusted: Iterable[TrustedSigner]) -> TrustedSigner:
    for signer in trusted:
        if signer.certificate.subject != certificate.issuer:
            continue
        try:
            _rsa_key(signer.certificate).verify(
                certificate.signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            continue
        return signer
    raise CertificateInvalid("The health certificate was not issued by an attestation signer that is trusted here.")


def _check_dates(
    certificate: x509.Certificate, signer: TrustedSigner, now: datetime, deny_issued_before: datetime | None
) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end - start > MAX_LIFETIME:
        raise CertificateInvalid("The health certificate lives longer than 8 hours.")
    if now + _CLOCK_TOLERANCE < start:
        raise CertificateInvalid("The health certificate is not valid yet; compare the clocks of host and HGS.")
    if now >= end:
        raise CertificateInvalid(f"The health certificate expired at {end:%Y-%m-%d %H:%M:%S} UTC; attest again.")
    signer_end = signer.certificate.not_valid_after_utc
    if not signer.certificate.not_valid_before_utc - _CLOCK_TOLERANCE <= now < signer_end:
        raise CertificateInvalid("The attestation signer's certificate is outside its validity.")
    for limit in (deny_issued_before, signer.deny_issued_before):
        if limit is not None and start < limit:
            raise CertificateInvalid("Health certificates issued before a moment set by HGS are refused; attest again.")


def _check_profile(
    certificate: x509.Certificate, signer: x509.Certificate
) -> tuple[CertificateKind, rsa.RSAPublicKey, str]:
    public_key = _rsa_key(certificate)
    found = [(extension.value, extension.critical) for extension in certificate.extensions]
    kind = next((kind for kind in CertificateKind if found == _profile(signer, public_key, kind)), None)
    if kind is None:
        raise CertificateInvalid("The health certificate's extensions are not those of the profile.")
    return kind, public_key, _check_subject(certificate)


def _check_subject(certificate: x509.Certificate) -> str:
    names = list(certificate.subject)
    subject = str(names[0].value) if len(names) == 1 and names[0].oid == NameOID.COMMON_NAME else ""
    if not _SUBJECT.fullmatch(subject):
        raise CertificateInvalid("The health certificate's subject is not the hash of an endorsement key.")
    return subject
