"""The one host of this process, as the Celery tasks find it, and how a task becomes a job with an outcome."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from fabric.disks.errors import DiskError
from fabric.hyperv.config import HostConfig
from fabric.hyperv.control_plane import Failure
from fabric.hyperv.job_ledger import JobLedger, OpenJob
from fabric.hyperv.operations import HostOperations
from fabric.hyperv.spec import SpecError
from fabric.shielding.errors import ShieldingError
from hgs.attestation.errors import AttestationError
from hgs.client import HgsError, HgsRefused
from hgs.keyprotection.errors import KeyProtectionError
from hgs.wire.errors import WireError
from portal.kernel.errors import DomainError
from portal.kernel.ids import new_id, short

log = structlog.get_logger(__name__)
_EXPECTED = (
    DomainError,
    HgsError,
    SpecError,
    AttestationError,
    WireError,
    KeyProtectionError,
    ShieldingError,
    DiskError,
)


@dataclass(frozen=True, slots=True)
class Host:
    """Everything that a task needs."""

    config: HostConfig
    operations: HostOperations
    ledger: JobLedger


_current: Host | None = None


def become(host: Host | None) -> None:
    """Make this process that host; called once when the agent starts (None when it ends)."""
    global _current
    _current = host


def current_host() -> Host:
    """This process's host; raises `RuntimeError` in any process that is not a host's agent."""
    if _current is None:
        raise RuntimeError("host tasks run only in the agent of a host: manage.py host NAME")
    return _current


def run_job(job_id: str, task: str, work: Callable[[OpenJob], Mapping[str, Any]]) -> None:
    """Do a job's work and report its outcome, whatever happens."""
    ledger = current_host().ledger
    job = ledger.take(job_id, task)
    if job is None:
        log.warning("job-taken-already", job=job_id, task=task)
        return
    try:
        result = work(job)
    except Exception as error:
        error_id = short(new_id())
        failure = failure_of(error, error_id)
        if failure.outcome == "errored":
            log.exception("job-errored", job=job_id, task=task, error_id=error_id)
        else:
            log.warning("job-failed", job=job_id, task=task, code=failure.code, message=failure.message)
        ledger.finish(job_id, failure)
    else:
        log.info("job-succeeded", job=job_id, task=task)
        ledger.finish(job_id, None, result)


def failure_of(error: Exception, error_id: str) -> Failure:
    """What people are told: the sentence of an expected error, or only the id that finds the host's log."""
    if isinstance(error, HgsRefused):
        reason = f" ({error.reason})" if error.reason else ""
        return Failure("failed", error.code, f"HGS refused{reason}: {error.message}", error.advice)
    if isinstance(error, _EXPECTED):
        message = getattr(error, "message", None) or str(error)
        return Failure("failed", error.code, message, getattr(error, "advice", ""))
    message = f"Something unexpected went wrong on the host (error id {error_id})."
    return Failure("errored", "host-error", message, "Retry the job. If it repeats, find the id in the host's log.")
