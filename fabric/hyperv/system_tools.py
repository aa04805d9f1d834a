"""Runs the host's tools (cryptsetup, debugfs, swtpm, qemu-img) in a bare environment."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from fabric.hyperv.errors import HostError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BARE_ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8", "TSS2_LOG": "all+none"}
_SECONDS = 120.0


def run_tool(
    command: Sequence[str], *, keep: Sequence[int] = (), stdin: bytes = b"", seconds: float = _SECONDS
) -> subprocess.CompletedProcess[bytes]:
    """Run a tool to its end. `keep` are descriptors it inherits. Raises `HostError` (codes `tool-*`)."""
    name = command[0]
    try:
        done = subprocess.run(
            list(command), input=stdin, env=BARE_ENVIRONMENT, pass_fds=keep, capture_output=True, timeout=seconds,
            check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise HostError("tool-missing", f"The tool {name} is not installed.", "See docs/hosts.md.") from None
    except subprocess.TimeoutExpired:
        raise HostError("tool-timeout", f"{name} did not finish within {seconds:.0f} s.") from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        last = words[-1] if words else f"exit code {done.returncode}"
        raise HostError("tool-failed", f"{name} failed: {last}")
    return done
