"""Who a host is: its endorsement key, with or without the manufacturer's certificate.

HGS knows a host by the SHA-256 of its endorsement key's SubjectPublicKeyInfo (:attr:`EndorsementKey.ek_hash`),
so the same host has one identity whether it comes with a certificate (v2) or a bare key (v1).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hgs.attestation.ekcert import EkCertificate, parse_ek_certificate
from hgs.attestation.errors import Malformed, Unsupported
from hgs.attestation.tpm import TpmtPublic, endorsement_public, spki_of, to_cryptography_key


@dataclass(frozen=True)
class EndorsementKey:
    """An endorsement key as a host presents it; nothing is verified yet."""

    public: TpmtPublic
    spki: bytes
    certificate: EkCertificate | None = None

    @cached_property
    def ek_hash(self) -> str:
        """64 lower-case hex digits: SHA-256 of the SubjectPublicKeyInfo (DER)."""
        return hashlib.sha256(self.spki).hexdigest()


@dataclass(frozen=True)
class KnownHost:
    """What HGS has registered about an endorsement key.

    ``without_certificate``: admitted by force, v1. ``only_by``: the protocol version (``v1`` or ``v2``) that it is
    registered for, where the host speaks the other; such a host does not pass.
    """

    name: str
    without_certificate: bool = False
    only_by: str = ""


@dataclass(frozen=True)
class EndorsementTrust:
    """What an HGS trusts about endorsement keys.

    ``find_host`` looks an ``ek_hash`` up; roots and intermediates are trusted TPM manufacturers' certificates.
    """

    find_host: Callable[[str], KnownHost | None]
    roots: Sequence[EkCertificate] = field(default=())
    intermediates: Sequence[EkCertificate] = field(default=())


@lru_cache(maxsize=2048)
def endorsement_from_certificate(certificate: bytes) -> EndorsementKey:
    """Read an EK certificate (DER, quirks of real vendors allowed) and take its key.

    Raises ``Malformed``, ``Unsupported``. Remembered; nothing of it is verified.
    """
    parsed = parse_ek_certificate(certificate)
    public = endorsement_public(parsed.public_key)
    return EndorsementKey(public, spki_of(parsed.public_key), parsed)


def endorsement_from_spki(data: bytes) -> EndorsementKey:
    """Take a bare endorsement key from its SubjectPublicKeyInfo (DER, in its one encoding).

    Raises ``Malformed``, ``Unsupported`` (not RSA-2048 or P-256).
    """
    try:
        key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed("The endorsement key is not a public key in DER.") from error
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise Unsupported("The endorsement key is neither RSA nor on an elliptic curve.")
    if spki_of(key) != data:
        raise Malformed("The endorsement key is not in the one DER encoding.")
    return EndorsementKey(endorsement_public(key), data)


def endorsement_from_public(public: TpmtPublic) -> EndorsementKey:
    """Take a bare endorsement key. Only the TCG default templates are accepted: raises ``Unsupported`` for others."""
    key = to_cryptography_key(public)
    template = endorsement_public(key)
    if template != public:
        raise Unsupported("The endorsement key is not of the TCG default template for its algorithm.")
    return EndorsementKey(public, spki_of(key))
