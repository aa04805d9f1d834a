"""Named background processes: started once, recognised again, stopped by their own process id.

A pid file holds the process id and the kernel's start time of that process, so that a recycled id is never mistaken
for ours. A process is ready when its own readiness test says so; one that dies before is reported with its log's end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from portal.embedded import layout


class ProcessTrouble(Exception):  # noqa: N818 - what a person reads
    """A process did not start or stop; the text says which and shows the end of its log."""


@dataclass(frozen=True)
class Process:
    """`stop_seconds` is how long it may take to end in order before it is killed."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]
    ready_seconds: float = 120
    stop_seconds: float = 20

    @property
    def pid_file(self) -> Path:
        return layout.RUN / f"{self.name}.pid"

    @property
    def ready_file(self) -> Path:
        """The process itself may write this file when it can take work (GF_READY_FILE)."""
        return layout.RUN / f"{self.name}.ready"

    @property
    def log(self) -> Path:
        return layout.LOGS / f"{self.name}.log"


def _start_time(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat, clock ticks since boot; None when there is no such live process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def running_pid(process: Process) -> int | None:
    try:
        pid, started = process.pid_file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return int(pid) if _start_time(int(pid)) == started else None


def start(*wanted: Process) -> list[Process]:
    """Starts those that do not run, all at once; returns them when every one is ready."""
    started = [(process, _launch(process)) for process in wanted if running_pid(process) is None]
    for process, child in started:
        _wait_until_ready(process, child)
    return [process for process, _ in started]


def _launch(process: Process) -> subprocess.Popen[bytes]:
    for folder in (layout.RUN, layout.LOGS):
        folder.mkdir(parents=True, exist_ok=True)
    process.ready_file.unlink(missing_ok=True)
    with process.log.open("ab") as log:
        child = subprocess.Popen(
            list(process.command),
            env={**process.environment, "GF_READY_FILE": str(process.ready_file)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=layout.ROOT,
            start_new_session=True,
        )
    process.pid_file.write_text(f"{child.pid} {_start_time(child.pid)}", encoding="ascii")
    return child


def _wait_until_ready(process: Process, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + process.ready_seconds
    while True:
        # Death is looked for first: somebody else may answer on its port.
        if child.poll() is not None:
            process.pid_file.unlink(missing_ok=True)
            raise ProcessTrouble(f"{process.name} ended at once.\n{log_end(process)}")
        if process.is_ready():
            return
        if time.monotonic() > deadline:
            raise ProcessTrouble(
                f"{process.name} is not ready after {process.ready_seconds:.0f} s.\n{log_end(process)}"
            )
        time.sleep(0.1)  # between two looks at a condition with a deadline


def stop(process: Process) -> bool:
    """Asks it to end, waits, and kills it only when its time is up; True when there was one to stop."""
    pid = running_pid(process)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        if not _gone(process, process.stop_seconds):
            os.killpg(pid, signal.SIGKILL)
            _gone(process, 5)
    process.pid_file.unlink(missing_ok=True)
    process.ready_file.unlink(missing_ok=True)
    return pid is not None


def _gone(process: Process, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while running_pid(process) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)  # between two looks at a condition with a deadline
    return True


def log_end(process: Process, lines: int = 20) -> str:
    try:
        text = process.log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = "(no log)"
    return f"The end of {process.log}:\n" + "\n".join(text.splitlines()[-lines:])
