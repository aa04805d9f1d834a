"""Reads what a program needs of an NTFS volume to write new files into it (libntfs-3g's `layout.h`).

Windows keeps a record of 1 KiB for each file; of a volume that holds it these make some hundred megabytes. To place a
file takes few of them: those of the system's own files, of the folders on the way, and the next that are free; then the
folders' indexes, and what tells clusters in use. `Ntfs.needed_for` names these. What libntfs-3g reads of the rest when
it opens a volume (its journal, for one) was found by tracing it. Everything read is taken for hostile: each number is
checked before it is used.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Final

from fabric.disks.errors import FileSystemError
from fabric.disks.filesystems import Read
from fabric.disks.ntfs_records import (
    FIXED,
    Attribute,
    Geometry,
    Kind,
    Record,
    Run,
    block_names,
    damaged,
    index_block_size,
    joined,
    listed_records,
    parse_boot_sector,
    parse_record,
    restart_places,
    restart_state,
    root_names,
)

FILE_MAX: Final = 1024 * 1024
_FOLDER_MAX: Final = 8 * 1024 * 1024
"""Bytes of one folder's index; that of Windows\\System32 has about one mebibyte."""
_LIST_MAX: Final = 256 * 1024
_MORE_RECORDS_MAX: Final = 512
_RUNS_MAX: Final = 65536
_BITMAP_PIECE: Final = 4096
_MFT, _MIRROR, _LOG, _VOLUME, _DEFINITIONS, _ROOT, _CLUSTERS, _CAPITALS = 0, 1, 2, 3, 4, 5, 6, 10
_SYSTEM: Final = (_MFT, _MIRROR, _LOG, _VOLUME, _DEFINITIONS, _ROOT, _CLUSTERS, 9, _CAPITALS, 11)
_FIRST_FREE: Final = 64
"""libntfs-3g leaves the records before to the system."""
_SPARE_RECORDS: Final = 16
"""For folders and files whose own record has no room left."""
_FOLDERS_INDEX: Final = "$I30"
_COMPRESSED_OR_ENCRYPTED: Final = 0x40FF
_LINK, _COMPRESSED, _ENCRYPTED = 0x400, 0x800, 0x4000
_HIBERNATION: Final = "/hiberfil.sys"
_IMAGE_HEAD: Final = 4096
_RESTART_PAGE: Final = 4096
_DIRTY: Final = 1


@dataclass(frozen=True, slots=True)
class File:
    """A file or folder: its attributes from all its records, whose numbers are in `records`."""

    number: int
    is_folder: bool
    attributes: tuple[Attribute, ...]
    records: tuple[int, ...]

    def find(self, kind: Kind, name: str = "") -> Attribute | None:
        """Raises `FileSystemError` for one that is not whole."""
        return joined(item for item in self.attributes if item.kind == kind and item.name == name)


@dataclass(frozen=True, slots=True)
class Found:
    """`path` as it is spelled on the volume."""

    path: str
    file: File


@dataclass(frozen=True)
class Ntfs:
    """A volume whose boot sector and master file table make sense."""

    read: Read
    geometry: Geometry
    table: Attribute
    """The data of the master file table: a record for each file."""
    _folders: dict[int, dict[str, int]] = field(default_factory=dict, repr=False)

    def find(self, path: str) -> Found | None:
        """The file or folder at an absolute path, None if there is none; case matters only where it makes a difference,
        as in Windows. Links are not followed. Raises `FileSystemError`.
        """
        spelled, found = "", self._file(_ROOT)
        for name in _names(path):
            names = self.entries(found) if found.is_folder else {}
            same = name if name in names else next((other for other in names if other.upper() == name.upper()), None)
            if same is None:
                return None
            spelled, found = f"{spelled}/{same}", self._file(names[same])
        return Found(spelled or "/", found)

    def entries(self, folder: File) -> dict[str, int]:
        """Name → record number of what a folder holds. Raises `FileSystemError`."""
        if folder.number not in self._folders:
            self._folders[folder.number] = dict(self._entries(folder))
        return self._folders[folder.number]

    def _entries(self, folder: File) -> Iterator[tuple[str, int]]:
        root = folder.find(Kind.INDEX_ROOT, _FOLDERS_INDEX)
        if root is None or root.value is None:
            raise damaged("a folder has no index")
        size = index_block_size(root.value)
        yield from root_names(root.value)
        blocks = folder.find(Kind.INDEX_ALLOCATION, _FOLDERS_INDEX)
        in_use = folder.find(Kind.BITMAP, _FOLDERS_INDEX)
        if blocks is None:
            return
        if in_use is None or blocks.size > _FOLDER_MAX:
            raise damaged("a folder has no index, or one that is too large")
        bits = self._bytes(in_use, 0, min(in_use.size, blocks.size // size // 8 + 1))
        for index in range(min(blocks.size // size, 8 * len(bits))):
            if bits[index // 8] >> index % 8 & 1:
                yield from block_names(self._bytes(blocks, index * size, size))

    def contents(self, file: File) -> bytes:
        """A plain file of at most `FILE_MAX` bytes. Raises `FileSystemError`."""
        data = file.find(Kind.DATA)
        if file.is_folder or data is None or data.size > FILE_MAX or data.flags & _COMPRESSED_OR_ENCRYPTED:
            raise damaged("a file on it is not what it should be")
        return self._bytes(data, 0, data.size)

    def check_usable(self) -> None:
        """Raise `FileSystemError` for a volume that programs decline to write to: hibernated, or not unmounted."""
        volume = self._file(_VOLUME).find(Kind.VOLUME_INFORMATION)
        if volume is None or volume.value is None or len(volume.value) < 12:
            raise damaged("it has no volume information")
        if volume.value[10] & _DIRTY or self._is_hibernated() or not self._is_journal_clean():
            raise FileSystemError(
                "file-system-unclean",
                "The operating system volume was not unmounted properly.",
                "Start Windows once and shut it down wholly (sysprep /shutdown does), without hibernation.",
            )

    def _is_hibernated(self) -> bool:
        """As libntfs-3g tells: short images are those of systems that lie on another volume."""
        found = self.find(_HIBERNATION)
        image = found.file.find(Kind.DATA) if found else None
        return image is not None and (image.size < _IMAGE_HEAD or self._bytes(image, 0, 4).lower() == b"hibr")

    def _is_journal_clean(self) -> bool:
        """By its newer restart page, as libntfs-3g does; a journal that was emptied begins with ones."""
        log = self._file(_LOG).find(Kind.DATA)
        pages = [self._bytes(log, at, FIXED) for at in (0, _RESTART_PAGE)] if log else []
        newest = max(map(restart_state, pages), default=(0, True))
        return newest[1]

    def needed_for(self, folders: Sequence[str], files: int) -> Iterator[tuple[int, int]]:
        """(offset, length) of what is read, or changed in part, when up to `files` new files come into each folder.

        Clusters that are free now (`is_free`) may be written too. Folders may be missing from their topmost on, or not
        at all: `FileSystemError` for another one.
        """
        yield 0, FIXED
        yield from self._of_system()
        total = 0
        for folder in folders:
            ways = list(self.way_to(folder))
            total += files + len(_names(folder)) + 1 - len(ways)
            for item in ways:
                yield from self._of_folder(item)
                yield from self._of_records(self._free_records(item.number + 1, _SPARE_RECORDS))
        yield from self._of_records(self._free_records(_FIRST_FREE, total + _SPARE_RECORDS))
        # Behind the last record room is set aside; to write a new one there fills the rest of its cluster with zeros.
        room = (total + _SPARE_RECORDS) * self.geometry.record_size + self.geometry.cluster_size
        yield from self._places(self.table, self.table.initialised, room)

    def needed_to_replace(self, file: File) -> Iterator[tuple[int, int]]:
        """(offset, length) of what is read or changed when a plain file gets other contents."""
        data = file.find(Kind.DATA)
        if file.is_folder or data is None or data.flags & 0xFFFF:
            raise FileSystemError(
                "file-system-file",
                "The operating system volume has a folder, or a compressed, encrypted or sparse file, "
                "where a file is to be placed.",
                "Remove it from the template.",
            )
        yield from self._of_records(file.records)
        yield from self._of_records(self._free_records(file.number + 1, _SPARE_RECORDS))
        yield from self._places(data)

    def way_to(self, folder: str) -> Iterator[File]:
        """The folders from the root to this one, or the root alone if the topmost of them does not exist."""
        names = _names(folder)
        for depth in range(len(names) + 1):
            part = "/" + "/".join(names[:depth])
            found = self.find(part)
            if found is None and depth == 1:
                return
            if found is None or not found.file.is_folder:
                raise FileSystemError(
                    "file-system-folder",
                    f"The operating system volume has no folder {part}.",
                    "See docs/formats/template-disk.md for what a template needs.",
                )
            yield found.file

    def is_free(self, cluster: int) -> bool:
        """Whether nothing lies in the cluster."""
        if not 0 <= cluster < self.geometry.clusters:
            return False
        return not self._clusters_in_use[cluster // 8] >> cluster % 8 & 1

    @cached_property
    def _clusters_in_use(self) -> _Bits:
        bits = self._file(_CLUSTERS).find(Kind.DATA)
        if bits is None or bits.size * 8 < self.geometry.clusters:
            raise damaged("it does not tell which clusters are in use")
        return _Bits(self, bits)

    def _of_system(self) -> Iterator[tuple[int, int]]:
        # The first cluster of the table, or its first records, are compared with the mirror.
        head = max(_FIRST_FREE * self.geometry.record_size, self.geometry.cluster_size)
        yield from self._places(self.table, 0, head)
        for number in _SYSTEM:
            file = self._file(number)
            yield from self._of_records(file.records)
            for attribute in file.attributes:
                if attribute.kind == Kind.ATTRIBUTE_LIST:
                    yield from self._places(attribute)
        for number in (_MIRROR, _DEFINITIONS, _CLUSTERS, _CAPITALS):
            yield from self._of_attribute(self._file(number), Kind.DATA)
        yield from self._of_attribute(self._file(_MFT), Kind.BITMAP)
        yield from self._of_folder(self._file(_ROOT))
        log = self._file(_LOG).find(Kind.DATA)
        for at in restart_places(log.size if log else 0):
            yield from self._places(log, at, _RESTART_PAGE)
        sleeping = self.find(_HIBERNATION)
        if sleeping:
            yield from self._of_records(sleeping.file.records)
            yield from self._places(sleeping.file.find(Kind.DATA), 0, _IMAGE_HEAD)

    def _of_folder(self, folder: File) -> Iterator[tuple[int, int]]:
        """A folder's records, and all that lies outside them: its index above all."""
        kinds = folder.find(Kind.STANDARD_INFORMATION)
        flags = int.from_bytes(kinds.value[32:36], "little") if kinds and kinds.value else 0
        if flags & (_LINK | _COMPRESSED | _ENCRYPTED):
            raise FileSystemError(
                "file-system-folder-kind",
                "A folder that files are to be placed in is compressed, encrypted or a link to another.",
                "Turn that off for the folder (compact /u, cipher /d), or make it a folder.",
            )
        yield from self._of_records(folder.records)
        for attribute in folder.attributes:
            yield from self._places(attribute)

    def _of_attribute(self, file: File, kind: Kind) -> Iterator[tuple[int, int]]:
        found = file.find(kind)
        if found is None:
            raise damaged("one of the system's files is missing")
        yield from self._places(found)

    def _of_records(self, numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
        for number in numbers:
            yield from self._places(self.table, number * self.geometry.record_size, self.geometry.record_size)

    def _free_records(self, first: int, count: int) -> Iterator[int]:
        """The records that libntfs-3g gives to new files: the first free ones."""
        bits = self._file(_MFT).find(Kind.BITMAP)
        if bits is None:
            raise damaged("it does not tell which records are in use")
        last = self.table.runs[-1]
        records = (last.first + last.count) * self.geometry.cluster_size // self.geometry.record_size
        return islice(self._zero_bits(bits, max(first, _FIRST_FREE), records), count)

    def _zero_bits(self, bits: Attribute, first: int, end: int) -> Iterator[int]:
        for at in range(first // 8, -(-min(end, bits.size * 8) // 8), _BITMAP_PIECE):
            data = self._bytes(bits, at, min(_BITMAP_PIECE, bits.size - at))
            for index, byte in enumerate(data):
                if byte != 0xFF:
                    numbers = range((at + index) * 8, (at + index) * 8 + 8)
                    yield from (n for n in numbers if first <= n < end and not byte >> n % 8 & 1)

    def _file(self, number: int) -> File:
        record = self._record(number)
        if record.base or not record.in_use:
            raise damaged("a folder names a record that is no file's")
        lists = [item for item in record.attributes if item.kind == Kind.ATTRIBUTE_LIST]
        more = sorted({item for _, _, _, item in self._listed(lists)} - {number})
        if len(more) > _MORE_RECORDS_MAX:
            raise damaged("a file has too many records")
        attributes = list(record.attributes)
        for item in more:
            further = self._record(item)
            if further.base != number or not further.in_use:
                raise damaged("a file names a record that is not its own")
            attributes += further.attributes
        if sum(len(item.runs) for item in attributes) > _RUNS_MAX:
            raise damaged("a file lies in too many pieces")
        return File(number, record.is_folder, tuple(attributes), (number, *more))

    def _listed(self, lists: Sequence[Attribute]) -> Iterator[tuple[int, str, int, int]]:
        for item in lists:
            if item.size > _LIST_MAX:
                raise damaged("a list of attributes is too long")
            yield from listed_records(self._bytes(item, 0, item.size))

    def _record(self, number: int) -> Record:
        size = self.geometry.record_size
        if (number + 1) * size > self.table.initialised:
            raise damaged("a folder names a record that does not exist")
        return parse_record(self._bytes(self.table, number * size, size), number, self.geometry)

    def _bytes(self, data: Attribute, offset: int, length: int) -> bytes:
        """Raises `FileSystemError` where the attribute has fewer."""
        if data.value is not None:
            found = data.value[offset : offset + length]
        else:
            written = min(length, max(data.initialised - offset, 0))
            pieces = (self._piece(place, size) for place, size in self._pieces(data, offset, written))
            found = b"".join(pieces)
            found = found.ljust(length, b"\0") if len(found) == written else b""
        if len(found) != length or offset + length > data.size:
            raise damaged("a file ends before it should")
        return found

    def _piece(self, place: int | None, length: int) -> bytes:
        data = bytes(length) if place is None else self.read(place, length)
        if len(data) != length:
            raise damaged("the volume ends before its file system does")
        return data

    def _places(self, data: Attribute | None, offset: int = 0, length: int | None = None) -> Iterator[tuple[int, int]]:
        """Where an attribute, or a part of it, lies on the volume: (offset, length), nothing if it is in its record."""
        if data is None or data.value is not None or not data.runs:
            return
        whole = (data.runs[-1].first + data.runs[-1].count) * self.geometry.cluster_size
        length = whole - offset if length is None else length
        for place, size in self._pieces(data, offset, length):
            if place is not None:
                yield place, size

    def _pieces(self, data: Attribute, offset: int, length: int) -> Iterator[tuple[int | None, int]]:
        """(offset in the volume or None for a hole, length) of a part of an attribute, as far as there is one."""
        size, end = self.geometry.cluster_size, offset + length
        for index in range(max(bisect_right(data.runs, offset // size, key=_first) - 1, 0), len(data.runs)):
            run = data.runs[index]
            begin = run.first * size
            start, stop = max(offset, begin), min(end, begin + run.count * size)
            if start >= end:
                return
            if start < stop:
                yield None if run.place is None else run.place * size + start - begin, stop - start


class _Bits:
    """The bytes of a bitmap, read piece by piece; the last piece stays."""

    def __init__(self, volume: Ntfs, bits: Attribute) -> None:
        self._volume, self._bits = volume, bits
        self._at, self._data = -1, b""

    def __getitem__(self, index: int) -> int:
        at = index - index % _BITMAP_PIECE
        if at != self._at:
            self._data = self._volume._bytes(self._bits, at, min(_BITMAP_PIECE, self._bits.size - at))
            self._at = at
        return self._data[index - at]


def read_ntfs(read: Read, length: int) -> Ntfs:
    """The file system of a volume of `length` bytes. Raises `FileSystemError`."""
    geometry = parse_boot_sector(read(0, FIXED), length)
    size = geometry.record_size
    first = parse_record(read(geometry.mft * geometry.cluster_size, size), _MFT, geometry)
    pieces = [item for item in first.attributes if item.kind == Kind.DATA and not item.name]
    volume = _with_table(read, geometry, pieces)
    lists = [item for item in first.attributes if item.kind == Kind.ATTRIBUTE_LIST]
    # The table itself may lie in many pieces, told of by records in the table: each is in a piece told of before.
    listed = islice(volume._listed(lists), _LIST_MAX)
    more = sorted((at, number) for kind, name, at, number in listed if kind == Kind.DATA and not name and number)
    if len(more) > _MORE_RECORDS_MAX:
        raise damaged("its master file table lies in too many pieces")
    for _, number in more:
        record = volume._record(number)
        if record.base != _MFT:
            raise damaged("the master file table names a record that is not its own")
        pieces += [item for item in record.attributes if item.kind == Kind.DATA and not item.name]
        volume = _with_table(read, geometry, pieces)
    return volume


def _with_table(read: Read, geometry: Geometry, pieces: Sequence[Attribute]) -> Ntfs:
    table = joined(pieces)
    whole = (
        table is not None
        and 0 < len(table.runs) <= _RUNS_MAX
        and table.runs[0].place == geometry.mft
        and all(run.place is not None for run in table.runs)
        and table.runs[-1].first + table.runs[-1].count <= geometry.clusters
    )
    if table is None or not whole:
        raise damaged("its master file table is not where it should be")
    return Ntfs(read, geometry, table)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _first(run: Run) -> int:
    return run.first
