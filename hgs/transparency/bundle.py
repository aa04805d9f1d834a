"""The bundle: one ZIP file with which an owner checks a log, or the rest of it, offline.

    checkpoint      the signed checkpoint, of a log of N entries
    vkey            the log's verifier key, for a person to compare; a verifier uses the one it knows already
    from            M, decimal: the first entry in the bundle, at most N
    frontier        the frontier of the log of M entries (32 bytes a hash; empty for 0)
    leaves/0, …     entries M to N-1 as C2SP entry bundles of 65,536, the last one of what is left; none if M is N
    events.jsonl    a line for every entry of the owner among them, ascending:
                    {"blinding":"<hex>","event":"<the event's JSON, as a string>","index":<number>}

Each member once, none other, stored or deflated. Nothing is extracted to files, so names lead nowhere; before a member
is read, its size is held against what it may be, and no more than that is ever in memory.
"""

from __future__ import annotations

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO, BinaryIO, Final, cast

from hgs.transparency.entry import LEAF_SIZE, RANDOM_SIZE
from hgs.transparency.errors import AuditError
from hgs.transparency.event import EVENT_MAX
from hgs.transparency.merkle import HASH_SIZE, SIZE_MAX
from hgs.transparency.note import NOTE_MAX, VKEY_MAX, VerifierKey
from hgs.transparency.tiles import serialise_entries
from hgs.wire.bounded_zip import open_bounded

PIECE: Final = 65_536
"""Entries in a member `leaves/<k>`."""
LINE_MAX: Final = 2 * EVENT_MAX + 256

_FRAMED: Final = 2 + LEAF_SIZE
_LENGTH: Final = LEAF_SIZE.to_bytes(2, "big")
_DIRECTORY_MAX: Final = 1 << 20
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What opens one leaf: its place in the log, the event's one form, and the blinding."""

    index: int
    event: bytes
    blinding: bytes

    def serialise(self) -> bytes:
        """The line in `events.jsonl`."""
        content = {"index": self.index, "blinding": self.blinding.hex(), "event": self.event.decode()}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def write_bundle(
    note: bytes,
    key: VerifierKey,
    begin: int,
    frontier: bytes,
    leaves: Iterable[bytes],
    disclosures: Iterable[Disclosure],
) -> Iterator[bytes]:
    """The bytes of a bundle, made as they are asked for. `leaves` and `disclosures` are those from entry `begin` on.

    A reader finds out about every mistake in it, so nothing is checked here.
    """
    sink = _Sink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w") as archive:
        small = {"checkpoint": note, "vkey": f"{key}\n".encode(), "from": f"{begin}".encode(), "frontier": frontier}
        for name, data in small.items():
            archive.writestr(zipfile.ZipInfo(name), data)
        left = iter(leaves)
        for number, piece in enumerate(iter(lambda: list(islice(left, PIECE)), [])):
            archive.writestr(zipfile.ZipInfo(f"leaves/{number}"), serialise_entries(piece))
            yield sink.take()
        events = zipfile.ZipInfo("events.jsonl")
        events.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(events, "w", force_zip64=True) as member:
            for disclosure in disclosures:
                member.write(disclosure.serialise())
                if sink.is_full:
                    yield sink.take()
    yield sink.take()


class _Sink:
    """Where an archive is written that goes out while it is made. It has no `tell`, so nothing is ever gone back to."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def is_full(self) -> bool:
        return self._size >= 1 << 16

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._size += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return data


class Bundle:
    """A bundle that was opened. Its members are of the documented form; none of what they say is verified."""

    def __init__(self, file: BinaryIO) -> None:
        """Open a bundle, which has to be seekable and to stay open while it is read. Raises AuditError."""
        with _reading():
            self._archive = open_bounded(file, directory_max=_DIRECTORY_MAX, read_max=PIECE * _FRAMED + 1)
        self._members = self._checked_members()
        self.note = self._small("checkpoint", NOTE_MAX)
        self.vkey = self._text("vkey", VKEY_MAX).removesuffix("\n")
        self.begin = self._number("from")
        self.frontier = self._small("frontier", 63 * HASH_SIZE)
        if len(self.frontier) != self.begin.bit_count() * HASH_SIZE:
            raise _malformed("its frontier is not that of a log of its size")

    def pieces(self, end: int) -> Iterator[list[bytes]]:
        """The entries from `begin` up to `end`, the size of the checkpoint, in pieces. Raises AuditError."""
        if end < self.begin:
            raise _malformed(f"it begins at entry {self.begin}, and its log has {end}")
        count = -(-(end - self.begin) // PIECE)
        names = {f"leaves/{number}" for number in range(min(count, len(self._members)))}
        if names != {name for name in self._members if name.startswith("leaves/")} or len(names) != count:
            raise _malformed("its entries are not all there")
        for number in range(count):
            yield self._piece(f"leaves/{number}", min(PIECE, end - self.begin - number * PIECE))

    def disclosures(self) -> Iterator[Disclosure]:
        """The lines of `events.jsonl`, read as they are asked for. Raises AuditError."""
        last = -1
        with _reading(), self._archive.open(self._members["events.jsonl"]) as member:
            while line := member.readline(LINE_MAX + 1):
                disclosure = _disclosure(line)
                if disclosure.index <= last:
                    raise _malformed("its events are not in order")
                last = disclosure.index
                yield disclosure

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        members = {member.filename: member for member in self._archive.infolist()}
        if len(members) != len(self._archive.infolist()):
            raise _malformed("it has a member twice")
        if any(member.compress_type not in _METHODS or member.flag_bits & 1 for member in members.values()):
            raise _malformed("a member is encrypted, or compressed in another way than deflate")
        fixed = {"checkpoint", "vkey", "from", "frontier", "events.jsonl"}
        if {name for name in members if not name.startswith("leaves/")} != fixed:
            raise _malformed("it has other members than a bundle")
        return members

    def _small(self, name: str, most: int) -> bytes:
        member = self._members[name]
        if member.file_size > most:
            raise _malformed(f"its member {name} has more than {most} bytes")
        with _reading(), self._archive.open(member) as content:
            data = content.read(member.file_size + 1)  # a number, so that no more than this is ever unpacked
        if len(data) != member.file_size:
            raise _malformed(f"its member {name} is cut off")
        return data

    def _text(self, name: str, most: int) -> str:
        try:
            return self._small(name, most).decode()
        except UnicodeDecodeError:
            raise _malformed(f"its member {name} is not UTF-8 text") from None

    def _number(self, name: str) -> int:
        text = self._text(name, 19)
        if not _NUMBER.fullmatch(text) or int(text) > SIZE_MAX:
            raise _malformed(f"its member {name} is no number")
        return int(text)

    def _piece(self, name: str, count: int) -> list[bytes]:
        if self._members[name].file_size != count * _FRAMED:
            raise _malformed(f"its member {name} does not have {count} entries")
        data = self._small(name, count * _FRAMED)
        starts = range(0, len(data), _FRAMED)
        if any(data[at : at + 2] != _LENGTH for at in starts):
            raise _malformed(f"its member {name} has entries of another length than {LEAF_SIZE}")
        return [data[at + 2 : at + _FRAMED] for at in starts]


def _disclosure(line: bytes) -> Disclosure:
    if len(line) > LINE_MAX:
        raise _malformed("a line of its events is too long")
    try:
        content = json.loads(line.decode())
        found = Disclosure(content["index"], content["event"].encode(), bytes.fromhex(content["blinding"]))
        same = type(found.index) is int and 0 <= found.index <= SIZE_MAX and found.serialise() == line
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        same = False
    if not same or len(found.event) > EVENT_MAX or len(found.blinding) != RANDOM_SIZE:
        raise _malformed("a line of its events is not of the documented form")
    return found


@contextmanager
def _reading() -> Iterator[None]:
    """What the archive's library raises for a damaged or hostile archive, as one error."""
    try:
        yield
    except zipfile.BadZipFile as error:
        raise _malformed(f"as an archive it is damaged ({error})") from None
    except (zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError):
        raise _malformed("as an archive it is damaged") from None


def _malformed(problem: str) -> AuditError:
    return AuditError(
        "bundle-form",
        f"This is not a bundle of a key log as it should be: {problem}.",
        "Fetch the bundle again; if it stays so, ask who made it.",
    )
