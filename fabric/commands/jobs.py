"""Ending jobs: by the host that ran them, by the reaper, or by an operator. The VM's keeper hears of it in one go."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from fabric.dispatch import assign_job
from fabric.messages import HostError
from fabric.models import Host
from fabric.policy import FabricAction, decide, decide_end_job
from fabric.workloads import Finished, listener
from portal.kernel import audit, jobs
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict
from portal.kernel.models import OPEN_STATES, Job, JobState
from portal.kernel.policy import require

VM_TARGET = "virtual-machine"
SETTLED_AFTER = timedelta(seconds=60)
_STATES = {"failed": JobState.FAILED, "errored": JobState.ERRORED, "lost": JobState.LOST}


def finish_job(
    job_id: UUID, outcome: str, error: HostError | None = None, result: Mapping[str, Any] | None = None
) -> bool:
    """End an open job and tell the keeper of its VM; False where it has ended already.

    `outcome` is succeeded, failed (expected) or errored (a fault of ours).
    """
    with transaction.atomic():
        if outcome == "succeeded":
            ended = jobs.succeed(job_id, result)
        else:
            error = error or HostError("unexplained", "The host gave no reason.", "Look at the host's log.")
            ended = jobs.fail(
                job_id, code=error.code, message=error.message, advice=error.advice, state=_STATES[outcome]
            )
        if ended:
            _tell_keeper(Job.objects.get(pk=job_id), outcome, error)
    return ended


def reap_lost_jobs(now: datetime) -> int:
    """End jobs whose worker went silent and free what they held; returns how many."""
    with transaction.atomic():
        lost = jobs.reap_lost(now)
        for job in lost:
            _tell_keeper(job, "lost", HostError(job.error_code, job.error_message, job.error_advice))
    return len(lost)


def end_job(actor: Actor, *, job: Job, reason: str = "") -> Job:
    """Mark a job as failed by hand, for one that hangs. Raises `Denied`, `Conflict` (`job-ended`)."""
    require(decide_end_job(actor, job))
    error = HostError(
        "ended-by-operator",
        f"{actor.name} marked this job as failed{': ' + reason[:200] if reason else ''}.",
        "Retry it when the cause is mended.",
    )
    with transaction.atomic():
        if not finish_job(job.pk, "failed", error):
            raise Conflict("job-ended", "This job has just ended.")
        audit.record(
            actor, "job:ended", target_type="job", target_id=job.pk, scope=job.scope,
            summary=f"Marked as failed: {job.title}", data={"reason": reason[:200]},
        )  # fmt: skip
    job.refresh_from_db()
    return job


def diagnose_host(actor: Actor, *, host: Host) -> Job:
    """Have the host check itself, up to a trial key release; the job's result holds what it found."""
    require(decide(actor, FabricAction.ASK_HOST_TO_ATTEST))
    return _host_job(actor, host, "diagnose-host", f"Diagnose {host.name}", "host.diagnose", {})


def remove_leftover(actor: Actor, *, host: Host, vm_id: UUID) -> Job | None:
    """Have a host remove a VM that the fabric did not place there.

    None where that is under way, or where a job about the VM ended so lately that the host's report may be older.
    """
    leftovers = Job.objects.filter(kind="remove-leftover", target_id=str(host.id), title__endswith=str(vm_id))
    about_it = leftovers | Job.objects.filter(target_type=VM_TARGET, target_id=str(vm_id))
    if about_it.filter(Q(state__in=OPEN_STATES) | Q(finished_at__gt=timezone.now() - SETTLED_AFTER)).exists():
        return None
    title = f"Remove leftover VM {vm_id}"
    return _host_job(actor, host, "remove-leftover", title, "host.remove_vm", {"vm_id": str(vm_id)})


def _host_job(actor: Actor, host: Host, kind: str, title: str, task: str, arguments: Mapping[str, Any]) -> Job:
    with transaction.atomic():
        job = jobs.create_job(
            actor, kind=kind, title=title, scope="fabric", target_type="host", target_id=host.id,
            target_name=host.name, steps=[jobs.Step("host", "On the host")],
        )  # fmt: skip
        assign_job(job.pk, host, task, arguments)
    return job


def _tell_keeper(job: Job, outcome: str, error: HostError | None) -> None:
    if job.target_type == VM_TARGET:
        listener().job_finished(Finished(job.pk, UUID(job.target_id), outcome, error))
