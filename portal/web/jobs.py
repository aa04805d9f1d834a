"""Kernel jobs as pages show them: a panel of steps, lines of the activity tray."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from portal.kernel.actor import Actor, Role
from portal.kernel.ids import short
from portal.kernel.models import OPEN_STATES, Job, JobState, JobStep, StepState
from portal.web import status
from portal.web.registry import JobScopes, Portal, entries, target_url
from portal.web.status import Status

FAILURES_SHOWN_FOR = timedelta(days=1)
_FAILURES = (JobState.FAILED, JobState.ERRORED, JobState.LOST)


def visible_jobs(actor: Actor, portal: Portal) -> QuerySet[Job]:
    """Jobs an actor may see: every one in the fabric console, those of their own scopes in the tenant portal."""
    if portal is Portal.FABRIC and actor.has(Role.FABRIC_ADMIN):
        return Job.objects.all()
    own = {scope for provider in entries(JobScopes, portal) for scope in provider.scopes(actor)}
    return Job.objects.filter(scope__in=own)


def job_status(job: Job) -> Status:
    """A job's state as shape, word and colour."""
    match job.state:
        case JobState.QUEUED:
            return status.pending()
        case JobState.RUNNING:
            return status.in_progress("Running", job.percent)
        case JobState.SUCCEEDED:
            return status.running("Done")
        case JobState.CANCELLED:
            return status.stopped("Cancelled")
        case JobState.LOST:
            return status.failed("Lost", job.error_message)
        case JobState.ERRORED:
            return status.failed("Stopped by a fault", job.error_message)
        case _:
            return status.failed("Failed", job.error_message)


@dataclass(frozen=True)
class StepLine:
    """One step: its title, state, percent while it runs, and how long it took."""

    title: str
    state: str
    status: Status
    message: str
    percent: int | None
    took: timedelta | None


@dataclass(frozen=True)
class JobPanel:
    """A job with its steps, ready to draw. `error_id` finds the log lines."""

    id: str
    title: str
    status: Status
    percent: int
    is_open: bool
    failed: bool
    steps: Sequence[StepLine]
    message: str
    advice: str
    code: str
    error_id: str
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    took: timedelta | None
    url: str
    target_name: str
    target_url: str


_STEP_STATUS = {
    StepState.PENDING: status.pending(),
    StepState.DONE: status.running("Done"),
    StepState.SKIPPED: status.stopped("Not needed"),
}


def _step_status(step: JobStep) -> Status:
    if step.state == StepState.RUNNING:
        return status.in_progress("Running", step.percent or None)
    if step.state == StepState.FAILED:
        return status.failed()
    return _STEP_STATUS[StepState(step.state)]


def _took(start: datetime | None, end: datetime | None) -> timedelta | None:
    return (end or timezone.now()) - start if start else None


def _line(step: JobStep, cancelled: bool) -> StepLine:
    running = step.state == StepState.RUNNING
    stopped = cancelled and step.state == StepState.FAILED  # nothing went wrong: somebody wanted it so
    return StepLine(
        title=step.title,
        state=StepState.SKIPPED if stopped else step.state,
        status=status.stopped("Cancelled") if stopped else _step_status(step),
        message=step.message,
        percent=step.percent if running else None,
        took=_took(step.started_at, step.finished_at),
    )


def panel(actor: Actor, portal: Portal, job: Job) -> JobPanel:
    """The panel of a job the actor may see."""
    return JobPanel(
        id=str(job.pk),
        title=job.title,
        status=replace(job_status(job), reason=""),  # the reason stands in full below
        percent=job.percent,
        is_open=job.is_open,
        failed=job.is_failure,
        steps=[_line(step, job.state == JobState.CANCELLED) for step in job.steps.all()],
        message=job.error_message,
        advice=job.error_advice,
        code=job.error_code,
        error_id=short(job.pk),
        created_by=job.created_by,
        created_at=job.created_at,
        finished_at=job.finished_at,
        took=_took(job.started_at, job.finished_at),
        url=reverse(f"web:{portal}-job-panel", kwargs={"pk": job.pk}),
        target_name=job.target_name,
        target_url=target_url(actor, portal, job.target_type, job.target_id),
    )


def panel_for(actor: Actor, portal: Portal, job_id: uuid.UUID | str) -> JobPanel | None:
    """The panel of a job by id, or None where it is gone or not the actor's to see."""
    job = visible_jobs(actor, portal).filter(pk=job_id).prefetch_related("steps").first()
    return panel(actor, portal, job) if job else None


@dataclass(frozen=True)
class TrayLine:
    """One line of the activity tray."""

    id: str
    title: str
    status: Status
    at: datetime
    url: str
    message: str


def tray(actor: Actor, portal: Portal, limit: int = 8) -> list[TrayLine]:
    """Running jobs first, then what failed during the last day."""
    since = timezone.now() - FAILURES_SHOWN_FOR
    jobs = visible_jobs(actor, portal).filter(Q(state__in=OPEN_STATES) | Q(state__in=_FAILURES, finished_at__gte=since))
    ordered = sorted(jobs.order_by("-created_at")[: limit * 2], key=lambda job: not job.is_open)[:limit]
    return [
        TrayLine(
            id=str(job.pk),
            title=job.title,
            status=job_status(job),
            at=job.finished_at or job.created_at,
            url=reverse(f"web:{portal}-job", kwargs={"pk": job.pk}),
            message=job.error_message,
        )
        for job in ordered
    ]
