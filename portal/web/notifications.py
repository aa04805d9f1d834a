"""The notification bar: kept by the server, so that a failure survives leaving the page.

What went well shows for a while and goes; what failed stays until its reader dismisses it.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from portal.kernel.actor import Actor, ActorKind
from portal.kernel.errors import DomainError
from portal.kernel.ids import short
from portal.kernel.models import Job, JobState
from portal.web.models import Notification
from portal.web.registry import Portal, target_url

DONE_SHOWN_FOR = timedelta(seconds=20)
KEPT_FOR = timedelta(days=30)
_LONGEST = 300


def notify_done(actor: Actor, text: str, url: str = "") -> None:
    """Say that a command without a job was done."""
    _keep(actor, outcome=Notification.Outcome.DONE, done=text[:_LONGEST], url=url[:_LONGEST])


def notify_failed(actor: Actor, what: str, error: DomainError, error_id: str = "") -> None:
    """Say that a command was refused: `what` names it, the error says why and what to do, `error_id` finds the log."""
    _keep(
        actor,
        outcome=Notification.Outcome.FAILED,
        failed=f"{what[:1].upper()}{what[1:]}: not done."[:_LONGEST],
        message=error.message,
        advice=error.advice,
        code=error.code,
        error_id=error_id,
    )


def notify_job(actor: Actor, job_id: uuid.UUID | str, started: str, done: str, failed: str) -> None:
    """Follow a job: three sentences, of which the bar shows the one that is true when it is drawn."""
    _keep(
        actor,
        outcome=Notification.Outcome.JOB,
        job_id=job_id,
        started=started[:_LONGEST],
        done=done[:_LONGEST],
        failed=failed[:_LONGEST],
    )


def _keep(actor: Actor, **fields: Any) -> None:
    if actor.kind is ActorKind.USER:  # tokens and the fabric itself read no bar
        Notification.objects.create(user_id=actor.id, **fields)


@dataclass(frozen=True)
class Notice:
    """One notification ready to draw. `tone` is "busy", "done" or "failed"."""

    id: int
    tone: str
    text: str
    message: str
    advice: str
    code: str
    error_id: str
    percent: int | None
    url: str
    changed_at: datetime


def open_notices(actor: Actor, portal: Portal) -> list[Notice]:
    """What the bar shows now, what changed last first. Marks what is done as shown."""
    now = timezone.now()
    rows = (
        Notification.objects.filter(user_id=actor.id, dismissed_at=None, created_at__gt=now - KEPT_FOR)
        .filter(Q(shown_at=None) | Q(shown_at__gt=now - DONE_SHOWN_FOR))
        .select_related("job")[:20]
    )
    notices = [_notice(actor, portal, row) for row in rows]
    seen = [notice.id for notice in notices if notice.tone == "done"]
    if seen:
        Notification.objects.filter(pk__in=seen, shown_at=None).update(shown_at=now)
    return sorted(notices, key=lambda notice: notice.changed_at, reverse=True)


def _notice(actor: Actor, portal: Portal, row: Notification) -> Notice:
    job = row.job
    tone = _tone(row, job)
    text = {"busy": row.started, "done": row.done, "failed": row.failed}[tone]
    if job is not None and job.state == JobState.CANCELLED:
        text = f"Cancelled: {job.title}"
    return Notice(
        id=row.pk,
        tone=tone,
        text=text or (job.title if job else ""),
        message=job.error_message if job else row.message,
        advice=job.error_advice if job else row.advice,
        code=job.error_code if job else row.code,
        error_id=short(job.pk) if job else row.error_id,
        percent=job.percent if job and tone == "busy" else None,
        url=_details_url(actor, portal, row, tone),
        changed_at=(job.finished_at if job else None) or row.created_at,
    )


def _tone(row: Notification, job: Job | None) -> str:
    if job is None:
        return "failed" if row.outcome == Notification.Outcome.FAILED else "done"
    if job.is_open:
        return "busy"
    return "failed" if job.is_failure else "done"


def _details_url(actor: Actor, portal: Portal, row: Notification, tone: str) -> str:
    if row.job is None:
        return row.url
    if tone == "done":
        return target_url(actor, portal, row.job.target_type, row.job.target_id)
    return reverse(f"web:{portal}-job", kwargs={"pk": row.job.pk})


def dismiss(actor: Actor, notification_id: int) -> bool:
    """Take one notification off the actor's own bar; False when it is not there."""
    return bool(
        Notification.objects.filter(pk=notification_id, user_id=actor.id, dismissed_at=None).update(
            dismissed_at=timezone.now()
        )
    )
