"""What beat sends, and how often (seconds). Every task is safe to run twice and late."""

from typing import TypedDict


class _Options(TypedDict):
    queue: str
    expires: float


class _Entry(TypedDict):
    task: str
    schedule: float
    options: _Options


def every(seconds: float, task: str) -> _Entry:
    """One entry: `task` goes to the queue `fabric` every so many seconds."""
    # A beat that could not be delivered in its own period is worthless later.
    return {"task": task, "schedule": seconds, "options": {"queue": "fabric", "expires": seconds}}


BEAT_SCHEDULE: dict[str, _Entry] = {
    "send-waiting": every(10.0, "fabric.send_waiting"),
    "reap-lost-jobs": every(15.0, "fabric.reap_lost_jobs"),
    "mark-silent-hosts": every(10.0, "fabric.mark_silent_hosts"),
    "renew-attestations": every(60.0, "fabric.renew_attestations"),
    "refresh-guardian": every(60.0, "fabric.refresh_guardian"),
    "sweep-uploads": every(600.0, "fabric.sweep_uploads"),
    "refresh-submissions": every(15.0, "fabric.refresh_submissions"),
}
