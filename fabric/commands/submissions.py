"""Submitting to HGS what it should trust. The portal asks; an HGS administrator decides."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from fabric.guardian_service import fabric_client
from fabric.models import Host, Submission, SubmissionKind, SubmissionState
from fabric.policy import FabricAction, decide, decide_capture
from hgs.client import CaptureReceipt, SubmissionReceipt
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, DomainError, Invalid
from portal.kernel.policy import Denial, require

CONTENT_LIMIT = 4 << 20
_OF_ONE_HOST = frozenset({SubmissionKind.HOST, SubmissionKind.HOST_KEY})


def submit_to_hgs(actor: Actor, *, host: Host, kind: str, content: bytes, name: str = "") -> Submission:
    """Submit a host identity, host key, host group, hardware baseline or CI policy for `host`; HGS judges the content.

    Submitting the same content twice gives the same submission. Raises `Denied`, `Invalid`, and what HGS answers.
    """
    require(decide(actor, FabricAction.SUBMIT_TO_HGS))
    if kind not in SubmissionKind.values:
        kinds = ", ".join(SubmissionKind.values)
        raise Invalid("submission-invalid", f"The kind must be one of: {kinds}.", fields={"kind": kind})
    if not content or len(content) > CONTENT_LIMIT:
        raise Invalid("submission-invalid", f"The file must hold 1 to {CONTENT_LIMIT} bytes.")
    # An identity or a key belongs to one host by name; HGS finds the host's verdicts by it.
    title = host.name if kind in _OF_ONE_HOST else (name or host.name)[:128]
    with fabric_client() as hgs:
        receipt = hgs.submit(kind, title, content, submitted_by=actor.name)
    return _remember(actor, host, receipt, hashlib.sha256(content).hexdigest(), len(content))


def _remember(actor: Actor, host: Host, receipt: SubmissionReceipt, sha256: str, size: int) -> Submission:
    """Keep what HGS answered to a submission, once."""
    with transaction.atomic():
        submission, created = Submission.objects.update_or_create(
            hgs_id=receipt.id,
            defaults={"state": _state(receipt.state), "checked_at": timezone.now()},
            create_defaults={
                "kind": receipt.kind,
                "name": receipt.name,
                "host": host,
                "sha256": sha256,
                "size": size,
                "state": _state(receipt.state),
                "submitted_by": actor.name,
                "checked_at": timezone.now(),
            },
        )
        if created:
            audit.record(
                actor, "submission:sent", target_type="host", target_id=host.id, scope="fabric",
                summary=f"Submitted the {submission.get_kind_display().lower()} of {host.name} to HGS",
                data={"kind": receipt.kind, "hgs_id": str(receipt.id), "sha256": sha256},
            )  # fmt: skip
    return submission


@dataclass(frozen=True, slots=True)
class Captured:
    """What became of hosts that booted alike: HGS's word for it, its sentence, and the submission if there is one."""

    outcome: str
    hosts: tuple[str, ...]
    sentence: str
    submission: Submission | None = None

    @property
    def went_wrong(self) -> bool:
        return self.outcome == "refused"


def capture_baseline(actor: Actor, *, host: Host, name: str = "") -> Submission:
    """Submit what the host's last attestation measured as a baseline; HGS has the log and decides.

    Raises `Denied`, `Conflict` where there is nothing to capture or HGS says no, `Unavailable`.
    """
    require(decide_capture(actor, host))
    attestation = host.last_attestation
    if attestation is None:
        raise Conflict("nothing-to-capture", f"HGS has not judged {host.name} yet.")
    with fabric_client() as hgs:
        receipt = hgs.capture(attestation.hgs_id, name, submitted_by=actor.name)
    return _remember(actor, host, receipt, receipt.content_sha256, receipt.size)


def capture_baselines(actor: Actor, *, hosts: Sequence[Host]) -> list[Captured]:
    """Submit what many hosts measured, once for those that booted alike. Raises as `capture_baseline`."""
    require(decide(actor, FabricAction.SUBMIT_TO_HGS))
    usable: dict[str, Host] = {}
    results: list[Captured] = []
    for host in hosts:
        decision = decide_capture(actor, host)
        if isinstance(decision, Denial):
            results.append(Captured("refused", (host.name,), decision.reason))
        else:
            usable[host.name] = host
    if usable:
        ids = [host.last_attestation.hgs_id for host in usable.values() if host.last_attestation]
        with fabric_client() as hgs:
            receipts = hgs.capture_many(ids, submitted_by=actor.name)
        results += [_kept_capture(actor, usable, receipt) for receipt in receipts]
    return results


def _kept_capture(actor: Actor, hosts: Mapping[str, Host], receipt: CaptureReceipt) -> Captured:
    first = next((hosts[name] for name in receipt.hosts if name in hosts), None)
    submission = None
    if receipt.submission is not None and first is not None:
        sent = receipt.submission
        submission = _remember(actor, first, sent, sent.content_sha256, sent.size)
    return Captured(receipt.outcome, receipt.hosts, receipt.sentence, submission)


def refresh_submissions(now: datetime, limit: int = 50) -> int:
    """Ask HGS what became of pending submissions; returns how many were decided. HGS being away changes nothing."""
    decided = 0
    pending = Submission.objects.filter(state=SubmissionState.PENDING)[:limit]
    if not pending:
        return 0
    try:
        with fabric_client() as hgs:
            for submission in pending:
                state = _state(hgs.submission(submission.hgs_id).state)
                Submission.objects.filter(pk=submission.pk).update(state=state, checked_at=now)
                decided += state != SubmissionState.PENDING
    except DomainError:
        return decided
    return decided


def _state(text: str) -> SubmissionState:
    try:
        return SubmissionState(text)
    except ValueError:
        return SubmissionState.PENDING
