"""What key releases go by, read anew whenever the trust stamp has changed (:mod:`hgs.models.stamped`).

Signers are parsed, guardians' keys opened, and each health certificate verified once for as long as the stamp stays
the same. What a moment decides is asked each time: whether a certificate is valid by now.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from django.db.models import Q

from hgs.attestation.healthcert import (
    HealthCertificate,
    TrustedSigner,
    certified_identity,
    verify_health_certificate,
)
from hgs.keyprotection.guardian import GuardianKeys
from hgs.models import Attestation, KeyRelease, RevokedProtector, ServiceConfiguration
from hgs.selectors import keys
from portal.kernel.prepared import PARAMETER, Prepared

_REMEMBERED: Final = 4096
_VERDICT: Final = Prepared(
    lambda: Attestation.objects.filter(identity=PARAMETER).filter(certificate_serial=PARAMETER).values_list("pk")
)
_REVOKED: Final = Prepared(
    lambda: (
        RevokedProtector.objects.filter(Q(protector_hash=PARAMETER) | Q(protector_hash=PARAMETER))
        .filter(owner_fingerprint=PARAMETER)
        .values_list("pk")
    )
)
_CHAIN: Final = Prepared(
    # By its id alone, which has an index of its own: with the owner beside it SQLite reads all that the owner ever got.
    lambda: KeyRelease.objects.filter(egress_hash=PARAMETER).values_list("chain", "owner_fingerprint")
)


@dataclass(frozen=True)
class KnownCertificate:
    """A health certificate that a trusted signer signed, and the attestation that earned it, if HGS still has it."""

    health: HealthCertificate
    attestation_id: UUID | None
    valid_until: datetime
    """The end of its own life or of its signer's."""


@dataclass(frozen=True)
class ReleaseTrust:
    """What is kept under one stamp. ``guardians``: what opens protectors here, each key opened when it is come to."""

    stamp: UUID
    deny_issued_before: datetime | None
    signers: tuple[TrustedSigner, ...]
    every_signer: tuple[x509.Certificate, ...]
    """Those too that are trusted no more."""
    guardians: Sequence[GuardianKeys] = field(repr=False)
    _known: "OrderedDict[bytes, KnownCertificate]" = field(default_factory=OrderedDict, repr=False)
    _guard: Lock = field(default_factory=Lock, repr=False)

    def health_certificate(self, der: bytes, now: datetime) -> KnownCertificate:
        """Check a health certificate at ``now``. Raises AttestationError where it does not count."""
        with self._guard:
            found = self._known.get(der)
        if found is not None and found.health.not_before <= now < found.valid_until:
            return found
        # Whatever a kept one fails, the whole check says it best.
        known = self._verified(der, now)
        with self._guard:
            self._known[der] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known

    def certified_identity(self, der: bytes) -> str:
        """Whom HGS certified by this, though it may count no more; empty for nobody: a stranger made it."""
        return certified_identity(der, self.every_signer)

    def _verified(self, der: bytes, now: datetime) -> KnownCertificate:
        health = verify_health_certificate(der, self.signers, now, self.deny_issued_before)
        signers = (signer.certificate for signer in self.signers)
        signer = next(item for item in signers if item.fingerprint(hashes.SHA256()).hex() == health.signer_thumbprint)
        row = _VERDICT.first(health.ek_hash, f"{health.serial:x}")
        until = min(health.not_after, signer.not_valid_after_utc)
        return KnownCertificate(health, row[0] if row else None, until)


_kept: ReleaseTrust | None = None


def release_trust(configuration: ServiceConfiguration) -> ReleaseTrust:
    """What counts under the stamp of ``configuration``. Raises Unavailable where keys do not open."""
    global _kept
    kept = _kept
    if kept is None or kept.stamp != configuration.trust_stamp:
        # The stamp was read first: what is read now is as new, or newer and then read once more.
        kept = _kept = ReleaseTrust(
            configuration.trust_stamp,
            configuration.deny_issued_before,
            tuple(keys.trusted_signers()),
            tuple(keys.every_signer()),
            keys.guardian_keys(configuration),
        )
    return kept


def chain_of(protector_id: str, owner_fingerprint: str) -> str:
    """The chain that a protector is a link of: the id of the first one in it; empty for one that HGS did not make."""
    return next((chain for chain, owner in _CHAIN.rows(protector_id) if owner == owner_fingerprint), "")


def is_revoked(protector_id: str, chain: str, owner_fingerprint: str) -> bool:
    """Whether its owner revoked this protector, or the chain that it is a link of."""
    return _REVOKED.first(protector_id, chain or protector_id, owner_fingerprint) is not None
