"""Jobs a host has taken on, written down before they begin, so that none is forgotten by a crash or a silent broker.

`jobs/<job id>.json` exists from the moment a job is taken until its outcome has reached the broker. After a crash the
ones without an outcome are reported as failed, with that reason.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric.hyperv.control_plane import ControlPlane, Failure, JobProgress
from fabric.hyperv.state import read_json, write_json

INTERRUPTED = Failure(
    "failed",
    "host-restarted",
    "The host stopped while it worked on this job; what was half made has been removed.",
    "Retry the job.",
)


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job under way, and the way to tell of its progress."""

    id: str
    progress: JobProgress


class JobLedger:
    """The jobs of one host process; safe for several threads."""

    def __init__(self, folder: Path, control_plane: ControlPlane) -> None:
        self._folder = folder
        self._control_plane = control_plane
        self._guard = threading.Lock()
        self._open: dict[str, OpenJob] = {}

    def take(self, job_id: str, task: str) -> OpenJob | None:
        """Begin a job; None if this message came twice and the job is under way or waits to be reported."""
        with self._guard:
            if job_id in self._open or self._path(job_id).exists():
                return None
            write_json(self._path(job_id), {"task": task})
            job = OpenJob(job_id, JobProgress(self._control_plane, job_id))
            self._open[job_id] = job
            return job

    def finish(self, job_id: str, failure: Failure | None, result: Mapping[str, Any] | None = None) -> None:
        """Note the outcome and report it; one that cannot be sent now goes with `report_finished`."""
        with self._guard:
            if self._open.pop(job_id, None) is None:
                return
            error = {"outcome": failure.outcome, **failure.to_json()} if failure else None
            write_json(self._path(job_id), {"finished": True, "error": error, "result": dict(result or {})})
        self._report(self._path(job_id))

    def renew(self) -> None:
        """Keep the leases of jobs under way."""
        with self._guard:
            jobs = list(self._open.values())
        for job in jobs:
            job.progress.repeat()

    def report_finished(self) -> None:
        """Send the outcomes that have not reached the broker yet."""
        with self._guard:
            waiting = [path for path in sorted(self._folder.glob("*.json")) if path.stem not in self._open]
        for path in waiting:
            self._report(path)

    def interrupt_all(self) -> None:
        """Fail every job under way: the host is about to stop."""
        with self._guard:
            job_ids = list(self._open)
        for job_id in job_ids:
            self.finish(job_id, INTERRUPTED)

    @property
    def idle(self) -> bool:
        return not self._open

    def _report(self, path: Path) -> None:
        record = read_json(path) or {}
        if not record.get("finished"):
            failure: Failure | None = INTERRUPTED
        else:
            failure = Failure(**record["error"]) if record.get("error") else None
        if self._control_plane.finished(path.stem, failure, record.get("result") or {}):
            path.unlink(missing_ok=True)

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"
