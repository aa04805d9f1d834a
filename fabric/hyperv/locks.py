"""One at a time, among processes and among threads: an advisory lock on a file, with a deadline and a clear error."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fabric.hyperv.errors import HostError

_PAUSE_SECONDS = 0.01


class Busy(HostError):  # noqa: N818 - a state, said as a word
    """Somebody else has held a lock for longer than the caller waits. Code `host-busy`."""

    def __init__(self, what: str, seconds: float):
        super().__init__(
            "host-busy",
            f"{what} has been in use by another process for {seconds:g} s.",
            "Try again; if it repeats, look for a host process that hangs.",
        )


@contextmanager
def exclusive(path: Path, *, seconds: float, what: str) -> Iterator[None]:
    """Hold the lock `path` (made if missing) while the block runs; raises `Busy` after `seconds`.

    The lock belongs to the open file, so threads of one process exclude each other as well, and it goes away with the
    process that held it. Whoever holds it may remove the file: those who wait then take the lock on a new one.
    """
    deadline = time.monotonic() + seconds
    while (descriptor := _try_lock(path)) is None:
        if time.monotonic() >= deadline:
            raise Busy(what, seconds)
        time.sleep(_PAUSE_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)


def _try_lock(path: Path) -> int | None:
    """The descriptor that holds the lock, or None where somebody else does or has just removed the file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
