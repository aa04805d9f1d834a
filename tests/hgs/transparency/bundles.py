"""A key log with all that HGS knows of it, and the bundles it makes, honest or not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hgs.transparency.bundle import Disclosure, write_bundle
from hgs.transparency.checkpoint import Checkpoint, sign_checkpoint, signing_key
from hgs.transparency.merkle import Frontier
from hgs.transparency.note import VerifierKey
from tests.hgs.transparency.events import NEIGHBOUR, OWNER, REFUSAL, RELEASE, Entry, entry_of, fingerprint_of
from tests.hgs.transparency.logs import hashes_of

ORIGIN = "open-guarded-fabric/key-log/0123"
KEY = signing_key(bytes(range(32)))
VKEY = VerifierKey.of(ORIGIN, KEY)
OWNERS = (OWNER, NEIGHBOUR, None)


@dataclass(frozen=True)
class Log:
    """Entries in order."""

    entries: tuple[Entry, ...]

    def frontier(self, size: int) -> Frontier:
        frontier = Frontier()
        frontier.extend(hashes_of([entry.leaf for entry in self.entries[:size]]))
        return frontier

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        size = len(self.entries) if size is None else size
        return Checkpoint(ORIGIN, size, self.frontier(size).root())

    def note(self, size: int | None = None) -> bytes:
        return sign_checkpoint(self.checkpoint(size), KEY)

    def disclosures(self, begin: int = 0, owner: bytes = OWNER) -> list[Disclosure]:
        return [
            Disclosure(index, entry.event.serialise(), entry.blinding)
            for index, entry in enumerate(self.entries)
            if index >= begin and entry.event.owner == fingerprint_of(owner)
        ]

    def bundle(
        self,
        begin: int = 0,
        *,
        note: bytes | None = None,
        leaves: Sequence[bytes] | None = None,
        disclosures: Sequence[Disclosure] | None = None,
        frontier: bytes | None = None,
    ) -> bytes:
        return b"".join(
            write_bundle(
                self.note() if note is None else note,
                VKEY,
                begin,
                self.frontier(begin).serialise() if frontier is None else frontier,
                [entry.leaf for entry in self.entries[begin:]] if leaves is None else leaves,
                self.disclosures(begin) if disclosures is None else disclosures,
            )
        )


def log_of(count: int) -> Log:
    """The owner's, the neighbour's and nobody's entries in turn; every fifth one is a refusal."""
    return Log(
        tuple(entry_of(REFUSAL if number % 5 == 4 else RELEASE, OWNERS[number % 3], number) for number in range(count))
    )


def replaced(log: Log, index: int, **members: object) -> Log:
    """The log as it would be if an entry's event had been another."""
    old = log.entries[index]
    owner = next(one for one in OWNERS if fingerprint_of(one) == old.event.owner)
    new = entry_of(replace(old.event, **members), owner, index)  # type: ignore[arg-type]
    return Log((*log.entries[:index], new, *log.entries[index + 1 :]))


def members_of(bundle: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()
