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
    process that held it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise Busy(what, seconds)
            time.sleep(_PAUSE_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
