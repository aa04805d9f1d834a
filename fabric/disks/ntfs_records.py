"""The parts of an NTFS volume: boot sector, file records, attributes, runs, folders' indexes, pages of the journal.

After the public headers of libntfs-3g (`include/ntfs-3g/layout.h`). Everything read is taken for hostile: each number
is checked before it is used, and whatever does not fit raises `FileSystemError`. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from fabric.disks.errors import FileSystemError

FIXED: Final = 512
"""The last two bytes of each so many of a record stand in its header, their place is taken by a number of the write."""
_END: Final = 0xFFFFFFFF
_RECORD_SIZES: Final = (1024, 2048, 4096)
_CLUSTER_MAX: Final = 2 * 1024 * 1024
_INDEX_MAX: Final = 64 * 1024
_IN_USE, _FOLDER = 1, 2
_NUMBER: Final = (1 << 48) - 1
"""A reference to a file: record number, and above it how often the record was used."""


class Kind(IntEnum):
    """Types of attributes that matter here."""

    STANDARD_INFORMATION = 0x10
    ATTRIBUTE_LIST = 0x20
    VOLUME_INFORMATION = 0x70
    DATA = 0x80
    INDEX_ROOT = 0x90
    INDEX_ALLOCATION = 0xA0
    BITMAP = 0xB0


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the boot sector says. Sizes in bytes; places count clusters from the start of the volume."""

    cluster_size: int
    clusters: int
    record_size: int
    mft: int


@dataclass(frozen=True, slots=True)
class Run:
    """Clusters that follow one another: `count` of the stream from `first` on lie at `place`, None where none do."""

    first: int
    place: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute, or one of the pieces of it that lie in several records: `value` if it lies in its record, else
    `runs` (its clusters from `first` on), `size` and `initialised` bytes, of which the first piece alone knows.
    """

    kind: int
    name: str
    flags: int
    value: bytes | None
    first: int
    size: int
    initialised: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A file's record, or one more of it: then `base` is the number of its first, 0 otherwise."""

    number: int
    base: int
    in_use: bool
    is_folder: bool
    attributes: tuple[Attribute, ...]


def parse_boot_sector(data: bytes, length: int) -> Geometry:
    """From the first 512 bytes of a volume of `length` bytes. Raises `FileSystemError`."""
    if len(data) < FIXED or data[3:11] != b"NTFS    ":
        raise damaged("it has no NTFS boot sector")
    sector, per_cluster = struct.unpack_from("<HB", data, 0x0B)
    sectors, mft = struct.unpack_from("<QQ", data, 0x28)
    per_record = struct.unpack_from("<b", data, 0x40)[0]
    cluster = sector * (per_cluster if per_cluster <= 128 else 1 << min(256 - per_cluster, 16))
    record = per_record * cluster if per_record > 0 else 1 << min(-per_record, 16)
    whole = (
        sector in (512, 1024, 2048, 4096)
        and _is_power(cluster)
        and cluster <= _CLUSTER_MAX
        and record in _RECORD_SIZES
        and 0 < sectors * sector <= length
    )
    if not whole:
        raise damaged("its boot sector does not fit the volume")
    clusters = sectors * sector // cluster
    if not 0 < mft < clusters:
        raise damaged("its boot sector names a master file table outside the volume")
    return Geometry(cluster, clusters, record, mft)


def parse_record(data: bytes, number: int, geometry: Geometry) -> Record:
    """A record in use. Raises `FileSystemError`."""
    data = without_fixups(data, b"FILE")
    at, flags, used = struct.unpack_from("<HHI", data, 0x14)
    (base,) = struct.unpack_from("<Q", data, 0x20)
    if not 0x28 <= at <= used <= len(data) or at % 8:
        raise damaged("a file's record is damaged")
    attributes = tuple(_attributes(data[:used], at, geometry))
    return Record(number, base & _NUMBER, bool(flags & _IN_USE), bool(flags & _FOLDER), attributes)


def without_fixups(data: bytes, magic: bytes) -> bytes:
    """A record or block of an index as it was before it was written. Raises `FileSystemError`."""
    if len(data) < FIXED or data[:4] != magic:
        raise damaged("a record is not what it should be")
    at, count = struct.unpack_from("<HH", data, 4)
    if at % 2 or at < 0x28 or at + 2 * count > FIXED - 2 or count - 1 != len(data) // FIXED:
        raise damaged("a record is damaged")
    out = bytearray(data)
    for index in range(1, count):
        end = index * FIXED - 2
        if data[end : end + 2] != data[at : at + 2]:
            raise damaged("a record was written in part only")
        out[end : end + 2] = data[at + 2 * index : at + 2 * index + 2]
    return bytes(out)


def _attributes(data: bytes, at: int, geometry: Geometry) -> Iterator[Attribute]:
    while at + 4 <= len(data):
        (kind,) = struct.unpack_from("<I", data, at)
        if kind == _END:
            return
        if at + 24 > len(data):
            break
        (length,) = struct.unpack_from("<I", data, at + 4)
        if length < 24 or length % 8 or at + length > len(data):
            break
        yield _attribute(data[at : at + length], kind, geometry)
        at += length
    raise damaged("the attributes of a file do not end")


def _attribute(data: bytes, kind: int, geometry: Geometry) -> Attribute:
    outside, name_length, name_at, flags = struct.unpack_from("<BBHH", data, 8)
    name = data[name_at : name_at + 2 * name_length]
    if len(name) != 2 * name_length:
        raise damaged("an attribute's name is cut short")
    text = name.decode("utf-16-le", "replace")
    if not outside:
        length, at = struct.unpack_from("<IH", data, 0x10)
        if at + length > len(data):
            raise damaged("an attribute's value is cut short")
        return Attribute(kind, text, flags, data[at : at + length], 0, length, length, ())
    if len(data) < 0x40:
        raise damaged("an attribute is cut short")
    first, last, at = struct.unpack_from("<QQH", data, 0x10)
    _allocated, size, initialised = struct.unpack_from("<QQQ", data, 0x28)
    runs = tuple(_runs(data[at:], first, geometry.clusters))
    end = runs[-1].first + runs[-1].count if runs else first
    # An empty attribute's last cluster is one before its first.
    if end != (last + 1) % 2**64 or (not first and not initialised <= size <= 2**62):
        raise damaged("an attribute has other clusters than it says")
    return Attribute(kind, text, flags, None, first, size, initialised, runs)


def _runs(data: bytes, first: int, clusters: int) -> Iterator[Run]:
    """Each: a byte with the lengths of the two numbers that follow, how many clusters, and how far from the last."""
    at, place = 0, 0
    while at < len(data) and data[at]:
        of_count, of_place = data[at] & 15, data[at] >> 4
        at += 1
        end = at + of_count + of_place
        if not 0 < of_count <= 8 or of_place > 8 or end > len(data):
            break
        count = int.from_bytes(data[at : at + of_count], "little")
        place += int.from_bytes(data[at + of_count : end], "little", signed=True)
        if not 0 < count <= 2**48 or first > 2**48 or (of_place and not 0 <= place <= place + count <= clusters):
            raise damaged("a file's clusters lie outside the volume")
        yield Run(first, place if of_place else None, count)
        first, at = first + count, end
    if at >= len(data) or data[at]:
        raise damaged("the list of a file's clusters is cut short")


def listed_records(data: bytes) -> Iterator[tuple[int, str, int, int]]:
    """Of an attribute list: (type, name, first cluster, number of the record it is in). Raises `FileSystemError`."""
    at = 0
    while at + 26 <= len(data):
        kind, length, name_length, name_at, first, reference = struct.unpack_from("<IHBBQQ", data, at)
        name = data[at + name_at : at + name_at + 2 * name_length]
        if length < 26 or length % 8 or at + length > len(data) or len(name) != 2 * name_length:
            raise damaged("a list of attributes is damaged")
        yield kind, name.decode("utf-16-le", "replace"), first, reference & _NUMBER
        at += length


def index_block_size(root: bytes) -> int:
    """Bytes of the blocks of a folder's index, from its root. Raises `FileSystemError`."""
    size = int.from_bytes(root[8:12], "little")
    if len(root) < 32 or not _is_power(size) or not FIXED <= size <= _INDEX_MAX:
        raise damaged("a folder's index is damaged")
    return size


def root_names(root: bytes) -> Iterator[tuple[str, int]]:
    """(name, record number) of what the root of a folder's index names. Raises `FileSystemError`."""
    yield from _names(root, 16)


def block_names(block: bytes) -> Iterator[tuple[str, int]]:
    """(name, record number) of what a block of a folder's index names. Raises `FileSystemError`."""
    yield from _names(without_fixups(block, b"INDX"), 24)


def _names(data: bytes, header: int) -> Iterator[tuple[str, int]]:
    if len(data) < header + 16:
        raise damaged("a folder's index is cut short")
    begin, used = struct.unpack_from("<II", data, header)
    at, end = header + begin, min(header + used, len(data))
    while at + 16 <= end:
        reference, length, key, flags = struct.unpack_from("<QHHH", data, at)
        if flags & 2:
            return
        if length < 16 + 66 or length % 8 or at + length > end or 16 + key > length or key < 66:
            break
        name_length = data[at + 16 + 64]
        name = data[at + 16 + 66 : at + 16 + 66 + 2 * name_length]
        if 66 + 2 * name_length > key:
            break
        yield name.decode("utf-16-le", "replace"), reference & _NUMBER
        at += length
    raise damaged("a folder's index is damaged")


def joined(pieces: Iterable[Attribute]) -> Attribute | None:
    """One attribute from its pieces, None from none. Raises `FileSystemError` where they leave gaps or overlap."""
    ordered = sorted(pieces, key=lambda piece: piece.first)
    if not ordered:
        return None
    head, end = ordered[0], 0
    if len(ordered) > 1 and any(piece.value is not None for piece in ordered):
        raise damaged("a file has an attribute twice")
    for piece in ordered:
        if piece.first != end:
            raise damaged("a piece of a file is missing")
        end = piece.runs[-1].first + piece.runs[-1].count if piece.runs else end
    runs = tuple(run for piece in ordered for run in piece.runs)
    return Attribute(head.kind, head.name, head.flags, head.value, 0, head.size, head.initialised, runs)


def restart_places(size: int) -> Iterator[int]:
    """Where libntfs-3g looks for restart pages of the journal: at its start and at each power of two."""
    yield 0
    at = FIXED
    while at < min(size, 2**32):
        yield at
        at *= 2


def restart_state(page: bytes) -> tuple[int, bool]:
    """(number of the entry, whether nothing is left to be done) of a restart page; what is none tells nothing."""
    area = int.from_bytes(page[0x18:0x1A], "little")
    if page[:4] not in (b"RSTR", b"CHKD") or area + 16 > FIXED - 2:
        return 0, True
    entry = int.from_bytes(page[area : area + 8], "little")
    in_use, flags = (int.from_bytes(page[area + at : area + at + 2], "little") for at in (12, 14))
    # Version 2.0 is what Windows writes while it runs, or to start faster; it goes back to 1.1 when it stops.
    is_running = page[0x1A:0x1E] == b"\0\0\2\0"
    return entry, not is_running and (in_use == 0xFFFF or bool(flags & 2))


def damaged(why: str) -> FileSystemError:
    """The error for a volume that does not make sense."""
    return FileSystemError(
        "file-system-damaged", f"The operating system volume cannot be read: {why}.", "Run chkdsk in Windows."
    )


def _is_power(value: int) -> bool:
    return value >= FIXED and not value & (value - 1)
