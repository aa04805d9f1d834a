"""HGS's guardian as the fabric hands it to tenants."""

import time
from dataclasses import dataclass
from functools import lru_cache

from fabric.guardian_service import guardian_metadata
from fabric.models import GuardianInForce
from hgs.keyprotection import certificates
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.metadata import parse_metadata
from portal.kernel.errors import DomainError, Unavailable

GUARDIAN_NAME = "fabric"
KEPT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class FabricGuardian:
    """The guardian's metadata (XML as HGS serves it).

    `fingerprint` is of the certificate that signs the metadata: a tenant compares it with one heard from HGS's
    administrator, because the portal could hand out another file. `guardian_fingerprint` is of the guardian's signing
    certificate, as shielding data names it; `signing_fingerprints` are all by which HGS is known. SHA-256, hex.
    `encryption_fingerprint` is of the certificate that new protectors are encrypted to, and `pair` stands for the keys
    of both certificates (`certificates.pair_fingerprint`).
    """

    metadata: bytes
    fingerprint: str
    guardian_fingerprint: str
    signing_fingerprints: frozenset[str]
    encryption_fingerprint: str
    pair: str


def fabric_guardian() -> FabricGuardian:
    """Fetch and check HGS's guardian metadata, kept for a minute; raises `Unavailable`."""
    return _read(_kept_metadata(int(time.monotonic() // KEPT_SECONDS)))


def forget_guardian() -> None:
    """Ask HGS anew the next time."""
    _kept_metadata.cache_clear()


@lru_cache(maxsize=1)
def _kept_metadata(_minute: int) -> bytes:
    # Kept in the process: this must work while the broker is away.
    return guardian_metadata()


def _read(data: bytes) -> FabricGuardian:
    try:
        verified = parse_metadata(data).verify(GUARDIAN_NAME)
    except KeyProtectionError as error:
        raise Unavailable("guardian-invalid", "HGS's guardian metadata is not signed right.") from error
    guardian = verified.guardian
    # Shielding data made before HGS renewed its certificates names an older one of the same HGS.
    earlier = {certificates.fingerprint(certificate) for certificate in guardian.other_signing_certificates}
    return FabricGuardian(
        data,
        verified.fingerprint,
        guardian.fingerprint,
        frozenset({guardian.fingerprint} | earlier),
        certificates.fingerprint(guardian.encryption_certificate),
        certificates.pair_fingerprint(guardian.signing_certificate, guardian.encryption_certificate),
    )


def known_guardian() -> FabricGuardian | None:
    """The guardian if HGS answers, else None; for pages that must not fail with HGS."""
    try:
        return fabric_guardian()
    except DomainError:
        return None


def guardian_in_force() -> GuardianInForce | None:
    """The guardian as HGS showed it last, None if it never did; asks the database alone, so any page may read it."""
    return GuardianInForce.objects.first()
