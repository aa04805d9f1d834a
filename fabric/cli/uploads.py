"""Sending a large file to the portal in parts, going on where an earlier run of the same command was cut off."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import httpx2

from portal.cli.failure import UNREACHABLE, CliError
from portal.cli.output import printable
from portal.cli.rest import UPLOAD_TIMEOUT, RestClient, config_directory

UPLOADS: Final = "/api/v1/uploads/"
PIECE_BYTES: Final = 4 * 1024 * 1024
PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each further try of a piece."""
_TUS: Final = {"Tus-Resumable": "1.0.0"}
_TRY_AGAIN: Final = frozenset({409, 423, 460, 500, 502, 503, 504})
_KEPT_SECONDS: Final = 8 * 24 * 3600
Advance = Callable[[int], None]


def send_file(rest: RestClient, file: Path, kind: str) -> str:
    """Send a file and return its upload's id; a terminal shows how far it is. Raises CliError.

    What was sent by a run before is not sent again, as long as file and portal are the same and the upload is there.
    """
    memory = Memory(rest.origin, file, kind)
    upload = _Sending(rest, file, memory.recall())
    if not upload.resume():
        memory.remember(upload.announce(kind))
    try:
        with _progress(file, upload.size) as advance:
            advance(upload.offset)
            upload.send_rest(advance)
    except KeyboardInterrupt:
        raise CliError("Interrupted.", "Run the same command again: it goes on where this one stopped.") from None
    except _Refused as error:
        memory.forget()
        raise error.problem from None
    return upload.id


@dataclass
class _Refused(Exception):  # noqa: N818
    """The portal does not want this file; no further try helps."""

    problem: CliError


class _Sending:
    """One file on its way: `offset` of `size` bytes are there."""

    def __init__(self, rest: RestClient, file: Path, known: str) -> None:
        self.id, self.offset, self.size = known, 0, file.stat().st_size
        self._rest, self._file = rest, file

    def resume(self) -> bool:
        """Ask where a known upload stands; False where there is none to go on with."""
        if not self.id:
            return False
        answer = self._rest.exchange("HEAD", self._path, headers=_TUS)
        fits = answer.is_success and answer.headers.get("Upload-Length") == str(self.size)
        self.offset = int(answer.headers["Upload-Offset"]) if fits else 0
        return fits

    def announce(self, kind: str) -> str:
        """Begin a new upload; its id."""
        metadata = f"kind {_encoded(kind)},filename {_encoded(self._file.name[-200:])}"
        headers = {**_TUS, "Upload-Length": str(self.size), "Upload-Metadata": metadata}
        made = self._rest.request("POST", UPLOADS, headers=headers)
        self.id, self.offset = str(uuid.UUID(str(made["id"]))), 0
        return self.id

    def send_rest(self, advance: Advance) -> None:
        """Send what is missing, a piece at a time; a piece that fails is tried again from where the portal stands."""
        with self._file.open("rb") as stream:
            while self.offset < self.size:
                before = self.offset
                stream.seek(self.offset)
                self._send_piece(stream.read(PIECE_BYTES))
                advance(self.offset - before)

    def _send_piece(self, piece: bytes) -> None:
        if not piece:
            raise CliError(f"{self._file} has become shorter while it was sent.", "Run the command again.")
        for pause in (*PAUSES, None):
            problem = self._try_piece(piece)
            if problem is None:
                return
            if pause is None:
                raise problem
            time.sleep(pause)
            if self._stands_elsewhere():
                return

    def _try_piece(self, piece: bytes) -> CliError | None:
        checksum = base64.b64encode(hashlib.sha256(piece).digest()).decode()
        headers = {
            **_TUS,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(self.offset),
            "Upload-Checksum": f"sha256 {checksum}",
        }
        try:
            answer = self._rest.exchange("PATCH", self._path, content=piece, headers=headers, timeout=UPLOAD_TIMEOUT)
        except CliError as error:
            return error
        if answer.is_success:
            self.offset = self._offset_in(answer)
            return None
        if answer.status_code in _TRY_AGAIN:
            return self._rest.problem_of(answer)
        raise _Refused(self._rest.problem_of(answer))

    def _stands_elsewhere(self) -> bool:
        """Whether the portal stands at another byte than it was told; then this goes on from there."""
        try:
            answer = self._rest.exchange("HEAD", self._path, headers=_TUS)
        except CliError as error:
            if error.exit_code == UNREACHABLE:
                return False
            raise
        if not answer.is_success:
            raise CliError("The upload is not there any more.", "Run the command again to begin anew.")
        before, self.offset = self.offset, self._offset_in(answer)
        return before != self.offset

    def _offset_in(self, answer: httpx2.Response) -> int:
        text = answer.headers.get("Upload-Offset", "")
        if not text.isdecimal() or int(text) > self.size:
            raise CliError("The portal does not say where the upload stands.", "Check that GF_URL is the portal's.")
        return int(text)

    @property
    def _path(self) -> str:
        return f"{UPLOADS}{self.id}/"


class Memory:
    """Which upload a file belongs to, kept beside the command's configuration; ids alone, nothing of the file."""

    def __init__(self, origin: str, file: Path, kind: str) -> None:
        state = file.stat()
        text = json.dumps([origin, kind, str(file.resolve()), state.st_size, state.st_mtime_ns])
        self._key = hashlib.sha256(text.encode()).hexdigest()
        self._store = config_directory() / "uploads.json"

    def recall(self) -> str:
        """The upload's id, empty where none is known."""
        try:
            return str(uuid.UUID(self._read().get(self._key, {}).get("id", "")))
        except ValueError:
            return ""

    def remember(self, upload: str) -> None:
        """Keep the id for a later run."""
        self._write({**self._read(), self._key: {"id": upload, "at": time.time()}})

    def forget(self) -> None:
        """The upload is used up or refused."""
        self._write({key: value for key, value in self._read().items() if key != self._key})

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._store.read_text())
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: value for key, value in found.items() if isinstance(value, dict) and _is_recent(value)}

    def _write(self, found: dict[str, dict[str, Any]]) -> None:
        self._store.parent.mkdir(parents=True, exist_ok=True)
        half = self._store.with_suffix(f".{uuid.uuid4().hex}")
        half.write_text(json.dumps(found))
        half.replace(self._store)


def _is_recent(kept: dict[str, Any]) -> bool:
    at = kept.get("at")
    return isinstance(at, int | float) and time.time() - at < _KEPT_SECONDS


@contextmanager
def _progress(file: Path, size: int) -> Iterator[Advance]:
    began, sent = time.monotonic(), 0
    resumed: int | None = None
    bar: Any = click.progressbar(
        length=size,
        label=printable(file.name),
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        item_show_func=lambda _item: f"{sent / max(time.monotonic() - began, 0.001) / 1e6:.1f} MB/s",
    )

    def advance(count: int) -> None:
        nonlocal sent, resumed
        if resumed is None:
            resumed = count  # what an earlier run sent says nothing about the speed of this one
        else:
            sent += count
        bar.update(count)

    with bar:
        yield advance


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode(errors="replace")).decode()
