"""Heartbeats: short JSON lines a guest writes to its virtio port. The guest is not trusted; its lines are checked."""

from __future__ import annotations

import fcntl
import json
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from fabric.hyperv import vm_folder
from fabric.hyperv.socket_paths import connectable
from fabric.hyperv.state import read_json, write_json

LINE_MAX: Final = 512
_STATES: Final = ("specialising", "running")
_NAME: Final = re.compile(r"[A-Za-z0-9-]{0,63}")
_NUMBER_MAX: Final = 2**53


def parse_beat(line: bytes) -> dict[str, Any] | None:
    """{"beat", "state", "computer_name", "uptime"} (uptime in seconds), None for a line of any other form."""
    if len(line) > LINE_MAX:
        return None
    try:
        beat = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(beat, dict) or set(beat) != {"beat", "state", "computer_name", "uptime"}:
        return None
    if not (_is_number(beat["beat"]) and _is_number(beat["uptime"]) and beat["state"] in _STATES):
        return None
    name = beat["computer_name"]
    return beat if isinstance(name, str) and _NAME.fullmatch(name) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _NUMBER_MAX


@dataclass(slots=True)
class HeartbeatStream:
    """A connection to one guest's port, read without ever waiting."""

    socket: socket.socket
    rest: bytes = b""

    @classmethod
    def open(cls, path: Path) -> HeartbeatStream:
        """Connect to QEMU's socket. Raises `OSError`."""
        stream = socket.socket(socket.AF_UNIX)
        try:
            with connectable(path) as address:
                stream.connect(address)
        except OSError:
            stream.close()
            raise
        stream.setblocking(False)
        return cls(stream)

    def read(self) -> list[dict[str, Any]]:
        """The beats that have arrived. Raises `OSError` when the other end is gone."""
        try:
            data = self.socket.recv(64 * LINE_MAX)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("the guest's port is closed")
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > LINE_MAX:
            self.rest = b""
        return [beat for line in lines if (beat := parse_beat(line)) is not None]

    def close(self) -> None:
        """Give the port to others."""
        self.socket.close()


class HeartbeatPort:
    """The heartbeats of one running VM. One process at a time reads the port; others read what it noted.

    `run` is the VM's run folder.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._lock: IO[bytes] | None = None
        self._stream: HeartbeatStream | None = None
        self._noted = 0

    def poll(self) -> list[dict[str, Any]]:
        """New beats, without waiting; none where there is no machine."""
        try:
            if self._stream is not None or self._take():
                return self._read()
        except OSError:
            self.close()
            return []
        return self._read_note()

    def close(self) -> None:
        """Leave the port to others."""
        if self._stream is not None:
            self._stream.close()
        if self._lock is not None:
            self._lock.close()
        self._stream = self._lock = None

    def _take(self) -> bool:
        lock = (self._run / "beat.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return False
        self._lock = lock
        self._stream = HeartbeatStream.open(self._run / vm_folder.HEARTBEAT_SOCKET)
        return True

    def _read(self) -> list[dict[str, Any]]:
        beats = self._stream.read() if self._stream else []
        if beats:
            write_json(self._run / vm_folder.LAST_BEAT, beats[-1])
        return beats

    def _read_note(self) -> list[dict[str, Any]]:
        try:
            changed = (self._run / vm_folder.LAST_BEAT).stat().st_mtime_ns
        except OSError:
            return []
        if changed == self._noted:
            return []
        self._noted = changed
        beat = read_json(self._run / vm_folder.LAST_BEAT)
        return [beat] if beat else []
