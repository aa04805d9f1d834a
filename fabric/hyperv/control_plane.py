"""What a host tells the control plane: small JSON messages to the `fabric` queue, by task name, public data only."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)
_SENTENCE = 300
_EXPLANATION = 2000
_LEAST_SECONDS = 1.0
_BEAT = ("beat", "state", "computer_name", "uptime")


class Send(Protocol):
    """Celery's `send_task`, as far as it is used here."""

    def __call__(self, name: str, *, kwargs: dict[str, Any], queue: str, retry: bool) -> object: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job ended badly. `outcome` is `failed` (expected) or `errored` (a fault of ours)."""

    outcome: str
    code: str
    message: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        return {
            "code": self.code[:64],
            "message": self.message[:_EXPLANATION],
            "advice": self.advice[:_EXPLANATION],
        }


@dataclass(slots=True)
class ControlPlane:
    """The way to the control plane. A message that cannot be sent is logged and False returned; nothing is raised."""

    host: str
    send: Send
    _silent: bool = field(default=False, init=False)

    def reported(self, report: Mapping[str, Any]) -> bool:
        return self._send("fabric.host_reported", report=dict(report))

    def progressed(self, job_id: str, step: str, percent: int, message: str) -> bool:
        return self._send(
            "fabric.job_progressed", job_id=job_id, step=step, percent=percent, message=message[:_SENTENCE]
        )

    def finished(self, job_id: str, failure: Failure | None, result: Mapping[str, Any]) -> bool:
        return self._send(
            "fabric.job_finished",
            job_id=job_id,
            outcome=failure.outcome if failure else "succeeded",
            error=failure.to_json() if failure else None,
            result=dict(result),
        )

    def beat(self, vm_id: str, beat: Mapping[str, Any]) -> bool:
        """Pass a guest's heartbeat on, without anything that is no part of one."""
        known = {key: beat[key] for key in _BEAT if key in beat}
        return self._send("fabric.vm_heartbeat", vm_id=vm_id, beat=known)

    def vm_state(self, vm_id: str, state: str, reason: str) -> bool:
        return self._send("fabric.vm_state", vm_id=vm_id, state=state, reason=reason[:_EXPLANATION])

    def _send(self, task: str, **arguments: Any) -> bool:
        try:
            self.send(task, kwargs={"host": self.host, **arguments}, queue="fabric", retry=False)
        except (OperationalError, OSError) as error:
            if not self._silent:
                log.warning("broker-unreachable", task=task, reason=type(error).__name__)
            self._silent = True
            return False
        if self._silent:
            log.info("broker-reachable")
        self._silent = False
        return True


class JobProgress:
    """Passes a job's progress on, not too often, and repeats the last word so that the job's lease does not run out."""

    def __init__(self, control_plane: ControlPlane, job_id: str) -> None:
        self._control_plane = control_plane
        self._job_id = job_id
        self._guard = threading.Lock()
        self._last: tuple[str, int, str] | None = None
        self._sent_at = 0.0

    def __call__(self, step: str, percent: int, message: str) -> None:
        """Say that `step` stands at `percent` (0 to 100)."""
        percent = max(0, min(100, percent))
        with self._guard:
            before, self._last = self._last, (step, percent, message)
            now = time.monotonic()
            news = before is None or before[0] != step or percent == 100
            if before == self._last or (not news and now - self._sent_at < _LEAST_SECONDS):
                return
            self._sent_at = now
        self._control_plane.progressed(self._job_id, step, percent, message)

    def repeat(self) -> None:
        """Say the last thing again."""
        with self._guard:
            last = self._last
        if last:
            self._control_plane.progressed(self._job_id, *last)
