"""Processes that outlive the one that started them, found again by pid file and by what they really are.

A pid alone is not an identity: after a crash it may belong to somebody else. A process counts as ours only when it runs
the expected program with the expected argument.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.01) -> bool:
    """Whether `condition()` became true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True


def running_process(pid_file: Path, program: str, argument: str) -> int | None:
    """The pid in `pid_file` if that process runs `program` with an argument that contains `argument`, else None."""
    try:
        pid = int(pid_file.read_text(encoding="ascii"))
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    if Path(os.fsdecode(arguments[0])).name != program:
        return None
    return pid if any(argument.encode() in item for item in arguments[1:]) else None


def end_process(pid_file: Path, program: str, argument: str, seconds: float = 5.0) -> None:
    """End that process (politely, then by force after `seconds`) and remove its pid file; none running is fine."""
    for sign, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        pid = running_process(pid_file, program, argument)
        if pid is None:
            break
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            break
        _reap(pid)
        if wait_until(lambda: running_process(pid_file, program, argument) is None, patience):
            break
    pid_file.unlink(missing_ok=True)


def _reap(pid: int) -> None:
    """Collect the process if it happens to be a child of ours, so that it does not stay as a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
