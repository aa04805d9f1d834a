"""QEMU's control channel (QMP), cut down to what the host of a shielded VM may do.

QMP can also read guest memory, take screenshots and attach debuggers; a shielded VM's host process must not. Whatever
is not in `ALLOWED` is refused here, before it reaches QEMU.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fabric.hyperv.errors import HostError
from fabric.hyperv.socket_paths import connectable

ALLOWED: Final = frozenset({"qmp_capabilities", "query-status", "query-version", "quit", "system_reset"})
_SECONDS: Final = 5.0
_LINE_MAX: Final = 64 * 1024


class QmpRefused(HostError):  # noqa: N818 - reads as a word
    """A command that is not allowed for shielded VMs. Code `vm-command-refused`."""

    def __init__(self, command: str) -> None:
        super().__init__(
            "vm-command-refused",
            f"The command {command} is not allowed: the machine is shielded.",
            "Use the guest's own remote access; a shielded VM has no console, memory dump or debugger.",
        )


class Qmp:
    """An open QMP connection; synchronous, one command at a time."""

    def __init__(self, stream: socket.socket) -> None:
        self._lines = stream.makefile("rwb")

    def execute(self, command: str) -> dict[str, Any]:
        """Run an allowed command. Raises `QmpRefused`, or `OSError` if QEMU is gone."""
        if command not in ALLOWED:
            raise QmpRefused(command)
        self._lines.write(json.dumps({"execute": command}).encode() + b"\n")
        self._lines.flush()
        while True:
            message = self._read()
            if "return" in message:
                return dict(message["return"])
            if "error" in message:
                raise HostError("vm-command-failed", f"QEMU refused {command}: {message['error'].get('desc')}")

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline(_LINE_MAX)
        if not line.endswith(b"\n"):
            raise ConnectionResetError("QEMU closed its control channel")
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def connect(path: Path) -> Iterator[Qmp]:
    """A connection to the machine whose QMP socket is `path`. Raises `OSError` if there is none."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(_SECONDS)
        with connectable(path) as address:
            stream.connect(address)
        qmp = Qmp(stream)
        qmp._read()  # the greeting
        qmp.execute("qmp_capabilities")
        yield qmp
