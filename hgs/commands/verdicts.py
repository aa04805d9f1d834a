"""Keeping the result of an attestation: the row, its boot log, the audit event, and no more rows than are useful."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from cryptography import x509

from hgs.attestation.verdict import Failure, Verdict
from hgs.events import announce
from hgs.models import Attestation, EvidenceLog, OperationMode, PolicyVersion, TpmHost
from portal.kernel import audit
from portal.kernel.actor import Actor, ActorKind, Role
from portal.kernel.prepared import PARAMETER, Prepared
from portal.kernel.prepared_writes import PreparedInsert

KEPT_PER_HOST: Final = 200
"""Attestations kept for each host that proved itself, and as many rehearsals."""
KEPT_UNPROVEN: Final = 200
"""Attempts kept in all that nothing proved: anybody can send those, so they must not push others out."""
AUDITED_SUMMARY: Final = 300
"""Characters: every attestation is an event that stays, and a failing host may try often."""
SWEEP_ONE_IN: Final = 64
"""Old rows are removed at one attestation in so many."""

_LOG: Final = Prepared(lambda: EvidenceLog.objects.filter(pk=PARAMETER).values_list("pk"))
_ATTESTATION: Final = PreparedInsert(Attestation)
_UNPROVEN: Final = frozenset({Failure.UNAUTHORIZED, Failure.RTPM})


def store(
    verdict: Verdict,
    now: datetime,
    *,
    host: TpmHost | None,
    version: PolicyVersion,
    certificates: Iterable[bytes] = (),
    log: bytes = b"",
    is_rehearsal: bool = False,
) -> Attestation:
    """Write one TPM attestation down, in the caller's transaction.

    ``host``: the row of its endorsement key. ``certificates``: the health certificates issued for it (DER).
    ``log``: the boot log, when a quote confirmed it.
    """
    attestation = Attestation(
        at=now,
        host=host,
        host_name=host.name if host else "",
        mode=OperationMode.TPM,
        policy_version=version,
        is_rehearsal=is_rehearsal,
        identity=verdict.ek_hash,
        ek_hash=verdict.ek_hash,
        passed=verdict.passed,
        proven=verdict.failure not in _UNPROVEN,
        status=verdict.status.value,
        verdict=verdict.to_json(),
        log_id=_keep_log(log),
    )
    return keep(attestation, verdict, certificates)


def keep(attestation: Attestation, verdict: Verdict, certificates: Iterable[bytes]) -> Attestation:
    """Save an attestation of any mode with what was issued for it; audit it; forget the oldest of its kind."""
    if (certificate := next(iter(certificates), None)) is not None:
        issued = x509.load_der_x509_certificate(certificate)
        attestation.certificate_serial = f"{issued.serial_number:x}"
        attestation.certificate_not_after = issued.not_valid_after_utc
    _ATTESTATION.save(attestation)
    _forget_old(attestation)
    if attestation.host_name and attestation.proven:
        _audit(attestation, verdict)
    announce(attestation, verdict)
    return attestation


def _keep_log(log: bytes) -> str | None:
    if not log:
        return None
    digest = hashlib.sha256(log).hexdigest()
    if _LOG.first(digest) is None:
        EvidenceLog.objects.get_or_create(sha256=digest, defaults={"content": log})
    return digest


def _audit(attestation: Attestation, verdict: Verdict) -> None:
    event = "rehearsal" if attestation.is_rehearsal else "attestation"
    audit.record(
        Actor(ActorKind.HOST, attestation.identity, attestation.host_name, frozenset({Role.HOST})),
        f"{event}:passed" if verdict.passed else f"{event}:failed",
        target_type="attestation",
        target_id=attestation.id,
        summary=f"{attestation.host_name}: {verdict.summary}"[:AUDITED_SUMMARY],
        data={
            "status": verdict.status.value,
            "sub_statuses": [item.value for item in verdict.sub_statuses],
            "certificate_serial": attestation.certificate_serial,
        },
    )


def _forget_old(attestation: Attestation) -> None:
    """Remove what is too old, at one attestation in ``SWEEP_ONE_IN``: rows beyond the limit are few at any time."""
    if attestation.id.int % SWEEP_ONE_IN:
        return
    same = Attestation.objects.filter(proven=attestation.proven, is_rehearsal=attestation.is_rehearsal)
    if attestation.proven:
        same, kept = same.filter(identity=attestation.identity), KEPT_PER_HOST
    else:
        kept = KEPT_UNPROVEN
    old = list(same.order_by("-at").values_list("pk", flat=True)[kept : kept + 500])
    if not old:
        return
    logs = set(Attestation.objects.filter(pk__in=old).exclude(log=None).values_list("log_id", flat=True))
    Attestation.objects.filter(pk__in=old).only("pk").delete()
    if logs:
        EvidenceLog.objects.filter(pk__in=logs, attestations=None).delete()
