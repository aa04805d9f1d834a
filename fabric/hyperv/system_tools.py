"""Runs the host's tools (cryptsetup, debugfs, swtpm, qemu-img) in a bare environment."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fabric.hyperv.errors import HostError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BARE_ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8", "TSS2_LOG": "all+none"}
_SECONDS = 120.0


def run_tool(
    command: Sequence[str], *, keep: Sequence[int] = (), stdin: bytes = b"", seconds: float = _SECONDS
) -> subprocess.CompletedProcess[bytes]:
    """Run a tool to its end. `keep` are descriptors it inherits. Raises `HostError` (codes `tool-*`)."""
    process = _started(command, keep, subprocess.PIPE)
    return _finished(command[0], process, stdin, seconds)


@contextmanager
def tool_running(command: Sequence[str], *, keep: Sequence[int] = (), seconds: float = _SECONDS) -> Iterator[None]:
    """A tool that runs beside the block and has succeeded when it ends; ended with it if the block fails.

    Raises `HostError` as `run_tool`.
    """
    process = _started(command, keep, subprocess.DEVNULL)
    try:
        yield
    except BaseException:
        process.kill()
        process.communicate()
        raise
    _finished(command[0], process, None, seconds)


def _started(command: Sequence[str], keep: Sequence[int], stdin: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(command), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=BARE_ENVIRONMENT,
            pass_fds=keep,
        )  # fmt: skip
    except FileNotFoundError:
        raise HostError("tool-missing", f"The tool {command[0]} is not installed.", "See docs/hosts.md.") from None


def _finished(
    name: str, process: subprocess.Popen[bytes], stdin: bytes | None, seconds: float
) -> subprocess.CompletedProcess[bytes]:
    try:
        output, complaints = process.communicate(stdin, seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise HostError("tool-timeout", f"{name} did not finish within {seconds:.0f} s.") from None
    if process.returncode != 0:
        words = (complaints or output).decode("utf-8", "replace").strip().splitlines()
        last = words[-1] if words else f"exit code {process.returncode}"
        raise HostError("tool-failed", f"{name} failed: {last}")
    return subprocess.CompletedProcess([name], process.returncode, output, complaints)
