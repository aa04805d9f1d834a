"""The lines inside a state file: a head, records in the order of their kinds, and an end that counts them.

Each line is canonical JSON (sorted keys, no white space, UTF-8) and ends with a line feed::

    ["head",{"format":…,"log":…,"made_at":…,"name":…,"product":…,"version":1}]
    [kind,{…}]
    ["end",{"counts":{kind:number},"sha256":…}]

``sha256`` is over every line before. A line that is not exactly what these values are written as is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hgs.statefile.errors import StateFileError, damaged, not_a_state_file, unsound
from hgs.statefile.kinds import BY_NAME, LOG, ORDER, Kind
from hgs.statefile.values import Digest, Encoding, Json, Moment, Number, Text, Word

FORMAT: Final = "open-guarded-fabric hgs-state"
VERSION: Final = 1
MAX_LINE: Final = 16 * 2**20
MAX_RECORDS: Final = 200_000_000
WHOLE: Final = "whole"
LEFT_OUT: Final = "left-out"
_HEAD: Final[dict[str, Encoding]] = {
    "format": Word((FORMAT,)),
    "log": Word((WHOLE, LEFT_OUT)),
    "made_at": Moment(),
    "name": Text(64),
    "product": Text(64),
    "version": Number(VERSION, VERSION),
}
_END: Final[dict[str, Encoding]] = {"counts": Json(dict, 4096), "sha256": Digest()}
Fields = Mapping[str, Encoding]
_PLACE: Final = {kind.name: place for place, kind in enumerate(ORDER)}


@dataclass(frozen=True)
class Head:
    """What a file says of itself. ``log``: whether the key log and the releases are in it."""

    made_at: datetime
    name: str
    product: str
    log: str


@dataclass(frozen=True)
class Record:
    """One row: its kind, and its fields as values of the program."""

    kind: Kind
    fields: dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """A file that was read to its end: what it says of itself, how many records of each kind, and their SHA-256."""

    head: Head
    counts: dict[str, int]
    sha256: str


def lines(head: Head, records: Iterable[Record]) -> Iterator[bytes]:
    """The lines of a file."""
    digest, counts = hashlib.sha256(), dict[str, int]()
    first = _line("head", _written(_HEAD, _head_fields(head)))
    digest.update(first)
    yield first
    for record in records:
        counts[record.kind.name] = counts.get(record.kind.name, 0) + 1
        line = _line(record.kind.name, _written(record.kind.fields, record.fields))
        digest.update(line)
        yield line
    yield _line("end", {"counts": counts, "sha256": digest.hexdigest()})


class Reading:
    """Reads the records of a file; ``summary`` is there once they are all read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._lines = _split(pieces)
        self._digest = hashlib.sha256()
        self._counts: dict[str, int] = {}
        self._summary: Summary | None = None
        self.head = self._read_head()

    @property
    def summary(self) -> Summary:
        """What was read. Raises StateFileError while records are left."""
        if self._summary is None:
            raise damaged()
        return self._summary

    def records(self) -> Iterator[Record]:
        """Every record, in order. What was read is known to be whole only after the last. Raises StateFileError."""
        place = 0
        for line in self._lines:
            name, values = _parsed(line)
            if name == "end":
                self._finish(line, values)
                return
            kind = BY_NAME.get(name)
            if kind is None or _PLACE[name] < place:
                raise unsound(f"a record of the kind {name[:40]} where none can be.")
            place = _PLACE[name]
            self._count(kind)
            self._digest.update(line)
            yield Record(kind, _read(name, kind.fields, values, line))
        raise damaged()

    def _read_head(self) -> Head:
        line = next(self._lines, b"")
        name, values = _parsed(line)
        if name != "head" or values.get("format") != FORMAT:
            raise not_a_state_file()
        _check_version(values.get("version"))
        self._digest.update(line)
        found = _read("head", _HEAD, values, line)
        return Head(found["made_at"], found["name"], found["product"], found["log"])

    def _count(self, kind: Kind) -> None:
        count = self._counts.get(kind.name, 0) + 1
        self._counts[kind.name] = count
        if (kind.most is not None and count > kind.most) or count > MAX_RECORDS:
            raise unsound(f"more than {kind.most or MAX_RECORDS} records of the kind {kind.name}.")
        if kind in LOG and self.head.log == LEFT_OUT:
            raise unsound(f"a record of the kind {kind.name}, though the log is said to be left out.")

    def _finish(self, line: bytes, values: dict[str, Any]) -> None:
        found = _read("end", _END, values, line)
        if found["counts"] != self._counts:
            raise unsound("it counts other records than there are.")
        if found["sha256"] != self._digest.hexdigest():
            raise unsound("its records are others than it says.")
        if next(self._lines, None) is not None:
            raise unsound("something follows its end.")
        self._summary = Summary(self.head, self._counts, found["sha256"])


def _head_fields(head: Head) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "log": head.log,
        "made_at": head.made_at,
        "name": head.name,
        "product": head.product,
        "version": VERSION,
    }


def _check_version(version: object) -> None:
    if version != VERSION or isinstance(version, bool):
        raise StateFileError(
            "state-file-version",
            f"The file is of version {str(version)[:20]}; this HGS reads version {VERSION}.",
            "Import it with the version of this software that wrote it, or a later one.",
        )


def _split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their line feeds. Raises StateFileError for one that is too long, or for a rest without an end."""
    parts: list[bytes] = []
    length = 0
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for end in ended:
            yield b"".join([*parts, end, b"\n"])
            parts, length = [], 0
        parts.append(rest)
        length += len(rest)
        if length > MAX_LINE:
            raise unsound("a line that is too long.")
    if length:
        raise damaged()


def _line(name: str, values: dict[str, object]) -> bytes:
    text = json.dumps([name, values], sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def _parsed(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        found = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise damaged() from None
    if not isinstance(found, list) or len(found) != 2:
        raise damaged()
    name, values = found
    if not isinstance(name, str) or not isinstance(values, dict):
        raise damaged()
    return name, values


def _refuse(constant: str) -> object:
    raise ValueError(constant)


def _written(fields: Fields, values: dict[str, Any]) -> dict[str, object]:
    if set(values) != set(fields):
        raise ValueError(f"fields that do not belong here, or are missing: {set(values) ^ set(fields)}")
    return {name: encoding.write(values[name]) for name, encoding in fields.items()}


def _read(name: str, fields: Fields, values: dict[str, Any], line: bytes) -> dict[str, Any]:
    if set(values) != set(fields):
        raise unsound(f"{name}: fields that do not belong there, or are missing.")
    found: dict[str, Any] = {}
    for field, encoding in fields.items():
        try:
            found[field] = encoding.read(values[field])
        except ValueError as error:
            raise unsound(f"{name}.{field} is not {error}.") from None
    if _rewritten(name, fields, found) != line:
        raise unsound(f"a {name} that is written in another way than the one there is.")
    return found


def _rewritten(name: str, fields: Fields, found: dict[str, Any]) -> bytes:
    try:
        return _line(name, _written(fields, found))
    except ValueError:  # a lone surrogate, say, that no UTF-8 can hold
        return b""
