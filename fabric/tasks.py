"""Tasks of the `fabric` queue: what hosts report, placement, and sweeps. Each reads its message and calls a command."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import structlog
from celery import shared_task
from django.utils import timezone

from fabric import dispatch, library, messages
from fabric.commands import guardian, jobs, placing, publishing, reports, signing_jobs, submissions, sweeps, uploads
from fabric.messages import MessageRefused
from portal.kernel.errors import DomainError, Unavailable

log = structlog.get_logger(__name__)
P = ParamSpec("P")
RESULT_LIMIT = 384 << 10
"""Room for the longest result there is: a key protector of 256 KiB in base64."""
SIGNING_LIMIT = 6 * 3600
"""Seconds: the largest disk from the slowest storage, read three times and written twice."""


def refusing(task: Callable[P, None]) -> Callable[P, None]:
    """Log and drop a message that breaks the contract: sent again it would be as wrong."""

    @wraps(task)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            task(*args, **kwargs)
        except MessageRefused as error:
            log.warning("message-refused", task=task.__name__, reason=error.message)

    return run


@shared_task(name="fabric.host_reported")
@refusing
def host_reported(host: str, report: dict[str, Any]) -> None:
    reports.record_host_report(host, messages.HostReport.parse(report), timezone.now())


@shared_task(name="fabric.fetch_attestation", autoretry_for=(Unavailable,), retry_backoff=2, max_retries=6)
@refusing
def fetch_attestation(host: str, attestation_id: str) -> None:
    reports.record_attestation(host, messages.uuid(attestation_id))


@shared_task(name="fabric.job_progressed")
@refusing
def job_progressed(host: str, job_id: str, step: str, percent: int, message: str) -> None:
    reports.record_progress(
        host,
        messages.uuid(job_id),
        messages.text(step, "step", 32),
        messages.number(percent, "percent", 100),
        messages.text(message, "message", 300),
    )


@shared_task(name="fabric.job_finished")
@refusing
def job_finished(
    host: str, job_id: str, outcome: str, error: dict[str, Any] | None = None, result: dict[str, Any] | None = None
) -> None:
    if (result is not None and type(result) is not dict) or len(json.dumps(result)) > RESULT_LIMIT:
        raise MessageRefused("a result that is not a small object")
    reports.record_finished(
        host, messages.uuid(job_id), messages.outcome(outcome), messages.HostError.parse(error), result or {}
    )


@shared_task(name="fabric.vm_heartbeat")
@refusing
def vm_heartbeat(host: str, vm_id: str, beat: dict[str, Any]) -> None:
    reports.record_heartbeat(host, messages.uuid(vm_id), messages.Beat.parse(beat), timezone.now())


@shared_task(name="fabric.vm_state")
@refusing
def vm_state(host: str, vm_id: str, state: str, reason: str = "") -> None:
    reports.record_vm_state(
        host, messages.uuid(vm_id), messages.vm_state(state), messages.text(reason, "reason", messages.TEXT_LIMIT)
    )


@shared_task(name="fabric.place_vm")
def place_vm(job_id: str, vm_id: str, attempt: int = 0) -> None:
    placing.place_vm(messages.uuid(job_id), messages.uuid(vm_id), attempt, timezone.now())


@shared_task(name="fabric.inspect_disk")
def inspect_disk(job_id: str, signing_id: str) -> None:
    signing_jobs.inspect(messages.uuid(job_id), messages.uuid(signing_id))


@shared_task(name="fabric.sign_template", time_limit=SIGNING_LIMIT)
def sign_template(job_id: str, signing_id: str) -> None:
    signing_jobs.sign(messages.uuid(job_id), messages.uuid(signing_id))


@shared_task(name=publishing.TASK, time_limit=publishing.LONGEST)
@refusing
def publish_template(job_id: str, upload_id: str) -> None:
    publishing.publish_uploaded(messages.uuid(job_id), messages.uuid(upload_id))


@shared_task(name="fabric.sweep_uploads")
def sweep_uploads() -> None:
    uploads.sweep_uploads(timezone.now())
    library.sweep(timezone.now())


@shared_task(name="fabric.send_waiting")
def send_waiting() -> None:
    dispatch.send_waiting(timezone.now())


@shared_task(name="fabric.reap_lost_jobs")
def reap_lost_jobs() -> None:
    jobs.reap_lost_jobs(timezone.now())


@shared_task(name="fabric.mark_silent_hosts")
def mark_silent_hosts() -> None:
    sweeps.mark_silent_hosts(timezone.now())


@shared_task(name="fabric.renew_attestations")
def renew_attestations() -> None:
    sweeps.renew_attestations(timezone.now())


@shared_task(name="fabric.refresh_submissions")
def refresh_submissions() -> None:
    submissions.refresh_submissions(timezone.now())


@shared_task(name="fabric.refresh_guardian")
def refresh_guardian() -> None:
    try:
        guardian.note_guardian(timezone.now())
    except DomainError as error:
        log.info("guardian-not-seen", code=error.code)  # the clock asks again
