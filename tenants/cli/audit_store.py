"""What a tenant knows of key logs, in a folder: each log's key, and how far each owner's entries were checked.

    <store>/<log>/key               the log's verifier key, one line, as it was compared
    <store>/<log>/<owner>.json      the last audit for an owner: the checkpoint it ended at, and what was counted so far

`<log>` is the beginning of SHA-256 of the log's origin, `<owner>` the fingerprint of an owner certificate: who has
several owner guardians audits for each of them, and each audit goes on where that owner's last one ended.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from hgs.transparency.checkpoint import Checkpoint
from hgs.transparency.errors import NoteError
from hgs.transparency.note import VKEY_MAX, VerifierKey
from portal.cli.failure import CliError
from portal.cli.rest import config_directory
from tenants.cli.files import read_limited, read_text, write_file

STORE_OPTION = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of known logs and past audits. [default: ~/.config/gf/audit]",
)

_KEY: Final = "key"
_RECORD_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Audited:
    """What was proven so far for one owner: the checkpoint, since when audits are kept, and the owner's entries."""

    checkpoint: Checkpoint
    since: dt.datetime
    at: dt.datetime
    released: int
    refused: int

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": self.checkpoint.root.hex(),
            "since": self.since.isoformat(),
            "at": self.at.isoformat(),
            "released": self.released,
            "refused": self.refused,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Audited:
        """From the file. Raises KeyError, TypeError, ValueError or NoteError."""
        checkpoint = Checkpoint(str(content["origin"]), int(content["size"]), bytes.fromhex(content["root"]))
        times = dt.datetime.fromisoformat(content["since"]), dt.datetime.fromisoformat(content["at"])
        return cls(checkpoint, *times, int(content["released"]), int(content["refused"]))


@dataclass(frozen=True, slots=True)
class AuditStore:
    """The logs in one folder."""

    directory: Path

    def keys(self) -> list[VerifierKey]:
        """The keys of all known logs. Raises CliError for a file that was damaged."""
        if not self.directory.is_dir():
            return []
        files = sorted(folder / _KEY for folder in self.directory.iterdir())
        return [_read_key(file) for file in files if file.is_file()]

    def key(self, origin: str) -> VerifierKey | None:
        """The key of a log, None if the log is not known. Raises CliError."""
        file = self._folder(origin) / _KEY
        return _read_key(file) if file.is_file() else None

    def pin(self, key: VerifierKey, *, replace: bool = False) -> None:
        """Keep the key of a log. Raises CliError for a log that is known with another key."""
        known = self.key(key.name)
        if known is not None and known != key and not replace:
            raise CliError(
                f"The log {key.name} is known with another key.",
                "Ask the administrator of the Host Guardian Service why it changed; then: gf audit key KEY --replace",
                details=(f"known: {known}", f"given: {key}"),
            )
        folder = self._folder(key.name)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(folder / _KEY, f"{key}\n".encode(), force=True)

    def last(self, origin: str, owner: str) -> Audited | None:
        """The last audit for an owner (fingerprint), None if there was none. Raises CliError."""
        file = self._folder(origin) / f"{owner}.json"
        if not file.is_file():
            return None
        audited = _read_audited(file)
        if audited.checkpoint.origin != origin:
            raise _damaged(file)
        return audited

    def keep(self, owner: str, audited: Audited) -> None:
        """Keep an audit that succeeded. The log's key was pinned before."""
        data = json.dumps(audited.to_json(), indent=2).encode() + b"\n"
        write_file(self._folder(audited.checkpoint.origin) / f"{owner}.json", data, force=True)

    def all(self) -> Iterator[tuple[VerifierKey, str, Audited]]:
        """Every kept audit: the log's key, the owner's fingerprint, the audit. Raises CliError."""
        for key in self.keys():
            for file in sorted(self._folder(key.name).glob("*.json")):
                yield key, file.stem, _read_audited(file)

    def _folder(self, origin: str) -> Path:
        return self.directory / hashlib.sha256(origin.encode()).hexdigest()[:32]


def store_from(directory: Path | None) -> AuditStore:
    """The store in `directory`, or `~/.config/gf/audit`."""
    return AuditStore(config_directory() / "audit" if directory is None else directory)


def _read_key(file: Path) -> VerifierKey:
    try:
        return VerifierKey.parse(read_text(file, VKEY_MAX).removesuffix("\n"))
    except NoteError:
        raise _damaged(file) from None


def _read_audited(file: Path) -> Audited:
    try:
        return Audited.from_json(json.loads(read_limited(file, _RECORD_MAX)))
    except (ValueError, KeyError, TypeError, AttributeError, NoteError):
        raise _damaged(file) from None


def _damaged(file: Path) -> CliError:
    return CliError(
        f"{file} was damaged: it is not as gf audit wrote it.",
        "Restore it from a backup. Without it the next audit begins anew, and a log rewritten until then passes.",
    )
