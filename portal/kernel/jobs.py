"""Jobs: created queued, run in steps, ended exactly once.

Every change of state is a compare-and-swap on the row, so that a late or repeated message changes nothing and says so
by returning False. A running job holds a lease that progress renews; `reap_lost` ends those whose worker went silent.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from portal.kernel.actor import Actor
from portal.kernel.models import OPEN_STATES, Job, JobEvent, JobState, JobStep, StepState

LEASE = timedelta(seconds=120)
QUEUE_PATIENCE = timedelta(minutes=15)


class Step(NamedTuple):
    key: str
    title: str
    weight: int = 1


def create_job(
    actor: Actor,
    *,
    kind: str,
    title: str,
    scope: str,
    target_type: str,
    target_id: object,
    target_name: str,
    steps: Sequence[Step],
) -> Job:
    """A queued job in the caller's transaction; the caller enqueues its work on commit."""
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            title=title,
            scope=scope,
            target_type=target_type,
            target_id=str(target_id),
            target_name=target_name,
            created_by=actor.name,
            lease_until=timezone.now() + QUEUE_PATIENCE,
        )
        JobStep.objects.bulk_create(
            JobStep(job=job, position=index, key=step.key, title=step.title, weight=step.weight)
            for index, step in enumerate(steps)
        )
        JobEvent.objects.create(job=job, kind="created", message=f"Requested by {actor.name}")
    return job


def start(job_id: uuid.UUID | str) -> bool:
    """Takes a queued job; False when somebody else already did or it has ended."""
    now = timezone.now()
    changed = Job.objects.filter(pk=job_id, state=JobState.QUEUED).update(
        state=JobState.RUNNING, started_at=now, lease_until=now + LEASE
    )
    if changed:
        JobEvent.objects.create(job_id=job_id, kind="started")
    return bool(changed)


def heartbeat(job_id: uuid.UUID | str) -> bool:
    """Renews the lease of an open job; False when it has ended and its worker should stop."""
    return bool(Job.objects.filter(pk=job_id, state__in=OPEN_STATES).update(lease_until=timezone.now() + LEASE))


def progress(job_id: uuid.UUID | str, step_key: str, percent: int, message: str = "") -> bool:
    """Records that `step_key` stands at `percent` (100 ends it) and completes the steps before it.

    A step never moves backwards; False when the job has ended or has no such step.
    """
    percent = max(0, min(100, percent))
    with transaction.atomic():
        start(job_id)
        if not heartbeat(job_id):
            return False
        step = JobStep.objects.select_for_update().filter(job_id=job_id, key=step_key).first()
        if step is None:
            return False
        _finish_earlier(job_id, step.position)
        _advance(step, percent, message[:300])
        Job.objects.filter(pk=job_id).update(percent=_overall(job_id))
    return True


def _finish_earlier(job_id: uuid.UUID | str, position: int) -> None:
    now = timezone.now()
    earlier = JobStep.objects.filter(job_id=job_id, position__lt=position)
    earlier.filter(state=StepState.PENDING).update(state=StepState.SKIPPED)
    _close(earlier.filter(state=StepState.RUNNING), now)


def _close(steps: QuerySet[JobStep], now: datetime) -> None:
    """Done because what follows has begun: the last word of a step under way ("Copying …") is no longer true."""
    steps.update(state=StepState.DONE, percent=100, message="", finished_at=now)


def _advance(step: JobStep, percent: int, message: str) -> None:
    if step.state in (StepState.DONE, StepState.FAILED) or percent < step.percent:
        return
    now = timezone.now()
    if step.state != StepState.RUNNING:
        step.started_at = step.started_at or now
        JobEvent.objects.create(job_id=step.job_id, kind="step", step_key=step.key, message=message)
    step.state = StepState.DONE if percent == 100 else StepState.RUNNING
    step.finished_at = now if percent == 100 else None
    step.percent, step.message = percent, message or step.message
    step.save(update_fields=["state", "started_at", "finished_at", "percent", "message"])


def _overall(job_id: uuid.UUID | str) -> int:
    rows = JobStep.objects.filter(job_id=job_id).values_list("weight", "percent", "state")
    total = sum(weight for weight, _, _ in rows) or 1
    done = sum(weight * (100 if state == StepState.SKIPPED else percent) for weight, percent, state in rows)
    return min(99, done // total)


def succeed(job_id: uuid.UUID | str, result: Mapping[str, Any] | None = None) -> bool:
    with transaction.atomic():
        if not _end(job_id, JobState.SUCCEEDED, percent=100, result=dict(result or {})):
            return False
        now = timezone.now()
        steps = JobStep.objects.filter(job_id=job_id)
        _close(steps.filter(state=StepState.RUNNING), now)
        steps.filter(state=StepState.PENDING).update(state=StepState.SKIPPED)
        JobEvent.objects.create(job_id=job_id, kind="succeeded")
    return True


def fail(
    job_id: uuid.UUID | str,
    *,
    code: str,
    message: str,
    advice: str = "",
    details: Mapping[str, Any] | None = None,
    state: JobState = JobState.FAILED,
) -> bool:
    """Ends an open job as failed (expected), errored (a fault of ours), lost or cancelled, with its reason."""
    with transaction.atomic():
        ended = _end(
            job_id,
            state,
            error_code=code,
            error_message=message,
            error_advice=advice,
            error_details=dict(details or {}),
        )
        if not ended:
            return False
        JobStep.objects.filter(job_id=job_id, state=StepState.RUNNING).update(
            state=StepState.FAILED, finished_at=timezone.now()
        )
        JobEvent.objects.create(job_id=job_id, kind=state.value, message=message)
    return True


def _end(job_id: uuid.UUID | str, state: JobState, **fields: Any) -> bool:
    return bool(
        Job.objects.filter(pk=job_id, state__in=OPEN_STATES).update(
            state=state, finished_at=timezone.now(), lease_until=None, **fields
        )
    )


def reap_lost(now: datetime) -> list[Job]:
    """Ends open jobs whose lease ran out before `now`; the caller releases what they held."""
    lost = []
    for job in Job.objects.filter(state__in=OPEN_STATES, lease_until__lt=now).order_by(F("lease_until").asc()):
        ended = fail(
            job.pk,
            state=JobState.LOST,
            code="job-lost",
            message="The worker that ran this job stopped answering.",
            advice="Retry it; if it happens again, look at the host's log and at its state in the fabric console.",
        )
        if ended:
            job.refresh_from_db()
            lost.append(job)
    return lost
