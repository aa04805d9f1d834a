"""Host keys: the keys by which hosts are known in host key mode.

On the wire a host key is SubjectPublicKeyInfo, RSAPublicKey (PKCS #1), a CNG ``RSA1`` blob, or an X.509 certificate
of which only the public key counts: no chain, no validity. HGS knows a host by the SHA-256 of the key's
SubjectPublicKeyInfo, whichever form it came in.

The host signs the bytes of its public key as sent, followed by the bytes of its identity key as sent. [MS-HGSA] names
no scheme, so a finite set is tried: RSASSA-PKCS1-v1_5 and RSASSA-PSS, or ECDSA (DER, or both numbers of equal
length one after the other), with SHA-256, SHA-384 or SHA-512.
"""

import hashlib
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from hgs.attestation.errors import Malformed, SignatureInvalid, TooLarge, Unsupported
from hgs.attestation.identity_key import acceptable, from_cng, from_pkcs1, from_spki
from hgs.attestation.tpm import PublicKey

MAX_HOST_KEY: Final = 16 * 1024
"""Bytes of a host key or of a file that holds one."""
MAX_SIGNATURE: Final = 1024
_HASHES: Final[tuple[hashes.HashAlgorithm, ...]] = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END ([A-Z0-9 ]+)-----\s*")
_PUBLIC_LABELS: Final = frozenset({b"CERTIFICATE", b"PUBLIC KEY", b"RSA PUBLIC KEY"})


@dataclass(frozen=True)
class HostPublicKey:
    """A host's public key. ``subject`` and ``warnings`` are of the certificate it came in, where it came in one."""

    key: PublicKey
    subject: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER: the one form in which HGS keeps it."""
        return self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, 64 lower-case hex digits."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def algorithm(self) -> str:
        """Kind and size, for people."""
        kind = "RSA" if isinstance(self.key, rsa.RSAPublicKey) else "ECDSA P-"
        return f"{kind}{' ' if kind == 'RSA' else ''}{self.key.key_size}"


def read_host_key(data: bytes) -> HostPublicKey:
    """A host key as the wire carries it. Raises ``Malformed``, ``TooLarge`` or ``Unsupported``."""
    if len(data) > MAX_HOST_KEY:
        raise TooLarge(f"The host key has {len(data)} bytes; the limit is {MAX_HOST_KEY}.")
    readings = [found for read in (_bare_rsa, _bare_elliptic, _certificate) if (found := read(data)) is not None]
    if len(readings) != 1:
        raise Malformed("The host key is no public key and no certificate that HGS can read.")
    found = readings[0]
    if isinstance(found.key, rsa.RSAPublicKey):
        acceptable(found.key)
    return found


def read_host_key_file(content: bytes) -> HostPublicKey:
    """A host key out of a file for registration: a certificate (.cer) or a public key, DER or PEM.

    Raises ``Malformed``, ``TooLarge`` or ``Unsupported``; what is unusual, but counts for nothing, is a warning.
    """
    if len(content) > MAX_HOST_KEY:
        raise TooLarge(f"The file has {len(content)} bytes; the limit is {MAX_HOST_KEY}.")
    if b"PRIVATE KEY-----" in content:
        raise Malformed("The file holds a private key. HGS needs the public one alone; keep the private one secret.")
    return read_host_key(_from_pem(content) if content.lstrip().startswith(b"-----BEGIN") else content)


def verify_host_signature(host_key: HostPublicKey, signature: bytes, message: bytes) -> str:
    """Check a signature of a host key over ``message``; returns the name of the scheme that fits.

    Raises ``SignatureInvalid`` where none does.
    """
    if len(signature) <= MAX_SIGNATURE:
        for algorithm in _HASHES:
            key = host_key.key
            schemes = (
                _rsa_schemes(key, signature, message, algorithm)
                if isinstance(key, rsa.RSAPublicKey)
                else _elliptic_schemes(key, signature, message, algorithm)
            )
            for scheme in schemes:
                return f"{scheme} with {algorithm.name.upper().replace('SHA', 'SHA-')}"
    raise SignatureInvalid("The signature over host key and identity key is not of this host key.")


def _rsa_schemes(
    key: rsa.RSAPublicKey, signature: bytes, message: bytes, algorithm: hashes.HashAlgorithm
) -> Iterator[str]:
    pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)
    for name, scheme in (("RSASSA-PKCS1-v1_5", padding.PKCS1v15()), ("RSASSA-PSS", pss)):
        try:
            key.verify(signature, message, scheme, algorithm)
        except InvalidSignature:
            continue
        yield name


def _elliptic_schemes(
    key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes, algorithm: hashes.HashAlgorithm
) -> Iterator[str]:
    candidates = [signature]
    size = (key.key_size + 7) // 8
    if len(signature) == 2 * size:
        halves = (int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))
        candidates.append(encode_dss_signature(*halves))
    for candidate in candidates:
        try:
            key.verify(candidate, message, ec.ECDSA(algorithm))
        except InvalidSignature:
            continue
        yield "ECDSA"


def _bare_rsa(data: bytes) -> HostPublicKey | None:
    found = [key for form in (from_spki, from_pkcs1, from_cng) if (key := form(data)) is not None]
    return HostPublicKey(found[0]) if len(found) == 1 else None


def _bare_elliptic(data: bytes) -> HostPublicKey | None:
    try:
        key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return None
    found = HostPublicKey(_usable(key))
    return found if found.spki == data else None


def _certificate(data: bytes) -> HostPublicKey | None:
    try:
        certificate = x509.load_der_x509_certificate(data)
        key, subject = certificate.public_key(), certificate.subject.rfc4514_string()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return None
    return HostPublicKey(_usable(key), subject[:200], _usage_warnings(certificate))


def _usable(key: object) -> PublicKey:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, rsa.RSAPublicKey):
        return key
    raise Unsupported("A host key is an RSA key of at least 2048 bits, or an ECDSA key on P-256 or P-384.")


def _usage_warnings(certificate: x509.Certificate) -> tuple[str, ...]:
    """What the original asks of a host's certificate; HGS itself looks at the key alone."""
    warnings = []
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ("The certificate's extensions cannot be read.",)
    try:
        purposes = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        purposes = []
    if ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        warnings.append("The certificate is not for client authentication; Windows hosts expect that purpose.")
    try:
        signs = extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        signs = False
    if not signs:
        warnings.append("The certificate's key usage lacks digital signature, which the key is used for.")
    return tuple(warnings)


def _from_pem(content: bytes) -> bytes:
    match = _PEM.fullmatch(content.lstrip())
    if match is None or match[1] != match[3] or match[1] not in _PUBLIC_LABELS:
        raise Malformed("The file is PEM, but not one certificate or one public key.")
    try:
        return b64decode(b"".join(match[2].split()), validate=True)
    except Base64Error as error:
        raise Malformed("The file is PEM with broken base64.") from error
