"""What HGS is and how it fares, for its console and for the fabric."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import Model
from django.utils import timezone

from hgs.models import (
    Attestation,
    Baseline,
    CiPolicy,
    DomainHost,
    HostKey,
    KeyPurpose,
    KeyRelease,
    OperationMode,
    ServiceConfiguration,
    ServiceKey,
    Submission,
    SubmissionState,
    TpmHost,
)
from hgs.policy import Action, may
from portal.kernel.actor import Actor
from portal.kernel.policy import require


@dataclass(frozen=True)
class Counts:
    """Numbers of the overview; ``passed``, ``failed``, ``released`` and ``refused`` are of the last 24 hours.

    ``hosts`` are those of the mode in force.
    """

    pending: int
    hosts: int
    baselines: int
    ci_policies: int
    passed: int
    failed: int
    released: int
    refused: int


@dataclass(frozen=True)
class Service:
    """The overview. Fingerprints are SHA-256 of the certificate, lower-case hex."""

    initialised_at: datetime | None
    name: str
    mode: str
    functional_level: int
    communications_fingerprint: str
    signing_fingerprint: str
    encryption_fingerprint: str
    auto_approve: bool
    counts: Counts


def service(actor: Actor) -> Service:
    """The overview for people of HGS; an HGS that is not initialised has no ``initialised_at``."""
    require(may(actor, Action.READ))
    return _service()


def offline_starts(actor: Actor) -> int:
    """How often a host may start a VM without HGS after each release; 0: never."""
    require(may(actor, Action.READ))
    return ServiceConfiguration.objects.values_list("max_offline_unwraps", flat=True).first() or 0


def deny_issued_before(actor: Actor) -> datetime | None:
    """The moment before which no signer's health certificates count; None where there is none."""
    require(may(actor, Action.READ))
    return ServiceConfiguration.objects.values_list("deny_issued_before", flat=True).first()


def fabric_status(actor: Actor) -> dict[str, Any]:
    """The overview as the fabric may know it."""
    require(may(actor, Action.READ_VERDICTS))
    found = _service()
    return {
        "initialised": found.initialised_at is not None,
        "name": found.name,
        "mode": found.mode,
        "functional_level": found.functional_level,
        "guardian": {
            "communications_fingerprint": found.communications_fingerprint,
            "signing_fingerprint": found.signing_fingerprint,
            "encryption_fingerprint": found.encryption_fingerprint,
        },
        "auto_approve": found.auto_approve,
        "pending_submissions": found.counts.pending,
        "hosts": found.counts.hosts,
        "baselines": found.counts.baselines,
        "ci_policies": found.counts.ci_policies,
    }


def _service() -> Service:
    configuration = ServiceConfiguration.objects.first()
    return Service(
        initialised_at=configuration.initialised_at if configuration else None,
        name=configuration.name if configuration else "",
        mode=configuration.get_mode_display() if configuration else "",
        functional_level=configuration.functional_level if configuration else 0,
        communications_fingerprint=_fingerprint(KeyPurpose.COMMUNICATIONS),
        signing_fingerprint=_fingerprint(KeyPurpose.GUARDIAN_SIGNING),
        encryption_fingerprint=_fingerprint(KeyPurpose.GUARDIAN_ENCRYPTION),
        auto_approve=settings.HGS_AUTO_APPROVE,
        counts=_counts(OperationMode(configuration.mode) if configuration else OperationMode.TPM),
    )


def _fingerprint(purpose: KeyPurpose) -> str:
    return (
        ServiceKey.objects.filter(purpose=purpose, is_primary=True).values_list("fingerprint", flat=True).first() or ""
    )


_HOSTS: Final[dict[OperationMode, type[Model]]] = {
    OperationMode.TPM: TpmHost,
    OperationMode.ACTIVE_DIRECTORY: DomainHost,
    OperationMode.HOST_KEY: HostKey,
}


def _counts(mode: OperationMode) -> Counts:
    since = timezone.now() - timedelta(hours=24)
    attestations = Attestation.objects.filter(at__gte=since, is_rehearsal=False)
    releases = KeyRelease.objects.filter(at__gte=since)
    return Counts(
        pending=Submission.objects.filter(state=SubmissionState.PENDING).count(),
        hosts=_HOSTS[mode]._default_manager.count(),
        baselines=Baseline.objects.filter(is_enabled=True).count(),
        ci_policies=CiPolicy.objects.filter(is_enabled=True).count(),
        passed=attestations.filter(passed=True).count(),
        failed=attestations.filter(passed=False).count(),
        released=releases.filter(released=True).count(),
        refused=releases.filter(released=False).count(),
    )
