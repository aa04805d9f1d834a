"""What beat sends, and how often (seconds). Every task is safe to run twice and late."""

from typing import TypedDict


class _Options(TypedDict):
    queue: str
    expires: float


class _Entry(TypedDict):
    task: str
    schedule: float
    options: _Options


def _every(seconds: float, task: str) -> _Entry:
    # A beat that could not be delivered in its own period is worthless later.
    return {"task": task, "schedule": seconds, "options": {"queue": "fabric", "expires": seconds}}


BEAT_SCHEDULE: dict[str, _Entry] = {
    "send-waiting": _every(10.0, "fabric.send_waiting"),
    "reap-lost-jobs": _every(15.0, "fabric.reap_lost_jobs"),
    "mark-silent-hosts": _every(10.0, "fabric.mark_silent_hosts"),
    "renew-attestations": _every(60.0, "fabric.renew_attestations"),
    "refresh-submissions": _every(15.0, "fabric.refresh_submissions"),
}
