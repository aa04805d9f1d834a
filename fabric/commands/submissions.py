"""Submitting to HGS what it should trust. The portal asks; an HGS administrator decides."""

import hashlib
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from fabric.guardian_service import fabric_client
from fabric.models import Host, Submission, SubmissionKind, SubmissionState
from fabric.policy import FabricAction, decide
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import DomainError, Invalid
from portal.kernel.policy import require

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
    with transaction.atomic():
        submission, created = Submission.objects.update_or_create(
            hgs_id=receipt.id,
            defaults={"state": _state(receipt.state), "checked_at": timezone.now()},
            create_defaults={
                "kind": kind,
                "name": title,
                "host": host,
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
                "state": _state(receipt.state),
                "submitted_by": actor.name,
                "checked_at": timezone.now(),
            },
        )
        if created:
            audit.record(
                actor, "submission:sent", target_type="host", target_id=host.id, scope="fabric",
                summary=f"Submitted the {submission.get_kind_display().lower()} of {host.name} to HGS",
                data={"kind": kind, "hgs_id": str(receipt.id), "sha256": submission.sha256},
            )  # fmt: skip
    return submission


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
