"""Reads what a program needs of a FAT volume to write new files into it (Microsoft, FAT specification 1.03).

FAT12, FAT16 and FAT32. What tells which clusters are in use, a few bytes for each, is needed whole; else the folders on
the way. Everything read is taken for hostile: each number is checked before it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from fabric.disks.errors import FileSystemError
from fabric.disks.filesystems import Read

UNIT: Final = 512
"""`Fat.is_free` tells of units of so many bytes, for clusters lie at multiples of sectors alone."""
_FOLDER_MAX: Final = 2 * 1024 * 1024
_PIECE: Final = 4096
_ENTRY: Final = 32
_LABEL, _FOLDER, _LONG_NAME = 0x08, 0x10, 0x0F
_NAME_MAX: Final = 255


@dataclass(frozen=True)
class Fat:
    """A volume whose boot sector makes sense. Places and lengths in bytes; clusters are counted from 2 on."""

    read: Read
    bits: int
    """Of an entry in the table: 12, 16 or 32."""
    tables: int
    """Where the first table lies; all before is reserved."""
    tables_length: int
    root: int
    """Where the root folder lies; on FAT32 it is a chain of clusters from `root_cluster` on instead."""
    root_length: int
    root_cluster: int
    data: int
    cluster_size: int
    clusters: int
    _kept: dict[int, bytes] = field(default_factory=dict, repr=False)

    def needed_for(self, folders: Sequence[str]) -> Iterator[tuple[int, int]]:
        """(offset, length) of what is read, or changed in part, when new files come into these folders.

        Units that are free now (`is_free`) may be written too. Raises `FileSystemError` for a folder that is not there.
        """
        yield 0, self.tables
        yield self.tables, self.tables_length
        for path in folders:
            yield from self._way_to(path)

    def is_free(self, unit: int) -> bool:
        """Whether nothing lies in bytes `unit` × `UNIT` to the next unit."""
        cluster = (unit * UNIT - self.data) // self.cluster_size + 2
        return 2 <= cluster < self.clusters + 2 and self._next(cluster) == 0

    def _way_to(self, path: str) -> Iterator[tuple[int, int]]:
        place = self._root_places()
        names = [name for name in path.split("/") if name]
        for depth, name in enumerate([*names, ""], 1):
            yield from place
            if not name:
                return
            cluster = dict(self._folders_in(place)).get(name.upper())
            if cluster is None:
                raise FileSystemError(
                    "file-system-folder",
                    f"The operating system volume has no folder /{'/'.join(names[:depth])}.",
                    "See docs/formats/template-disk.md for what a template needs.",
                )
            place = self._chain(cluster) if cluster else self._root_places()

    def _root_places(self) -> list[tuple[int, int]]:
        return self._chain(self.root_cluster) if self.bits == 32 else [(self.root, self.root_length)]

    def _chain(self, cluster: int) -> list[tuple[int, int]]:
        """(offset, length) of each cluster of a folder."""
        found: list[tuple[int, int]] = []
        while 2 <= cluster < self.clusters + 2:
            found.append((self.data + (cluster - 2) * self.cluster_size, self.cluster_size))
            if len(found) * self.cluster_size > max(_FOLDER_MAX, self.cluster_size):
                raise _damaged("a folder on it does not end")
            cluster = self._next(cluster)
        if not found or cluster < (0x0FFFFFF8 if self.bits == 32 else (1 << self.bits) - 8):
            raise _damaged("a folder's clusters do not end as they should")
        return found

    def _next(self, cluster: int) -> int:
        """The entry of a cluster in the first table: 0 for a free one, else the next or a mark."""
        at = cluster * self.bits // 8
        entry = int.from_bytes(self._table(at, 4 if self.bits == 32 else 2), "little")
        if self.bits == 12:
            return entry >> 4 if cluster & 1 else entry & 0xFFF
        return entry & 0x0FFFFFFF

    def _table(self, at: int, length: int) -> bytes:
        index = at // _PIECE
        data = b"".join(self._table_piece(item) for item in range(index, (at + length - 1) // _PIECE + 1))
        found = data[at - index * _PIECE :][:length]
        if len(found) != length:
            raise _damaged("the volume ends before its file system does")
        return found

    def _table_piece(self, index: int) -> bytes:
        if index not in self._kept:
            while len(self._kept) > 1:  # an entry of 12 bits may lie in two
                self._kept.pop(next(iter(self._kept)))
            self._kept[index] = self.read(self.tables + index * _PIECE, _PIECE)
        return self._kept[index]

    def _folders_in(self, places: Sequence[tuple[int, int]]) -> Iterator[tuple[str, int]]:
        """(name in capitals, first cluster) of the folders in a folder, by both names they have."""
        long_name = ""
        for entry in self._entries(places):
            attributes, high, low = entry[11], *struct.unpack_from("<HxxxxH", entry, 20)
            if entry[0] == 0xE5:
                long_name = ""
            elif attributes & 0x3F == _LONG_NAME:
                part = entry[1:11] + entry[14:26] + entry[28:32]
                long_name = (part.decode("utf-16-le", "replace").split("\0")[0] + long_name)[:_NAME_MAX]
            else:
                if attributes & _FOLDER and not attributes & _LABEL:
                    cluster = low | (high << 16 if self.bits == 32 else 0)
                    yield _short_name(entry), cluster
                    if long_name:
                        yield long_name.upper(), cluster
                long_name = ""

    def _entries(self, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        for offset, length in places:
            data = self.read(offset, length)
            if len(data) != length:
                raise _damaged("the volume ends before its file system does")
            for at in range(0, length - _ENTRY + 1, _ENTRY):
                if not data[at]:
                    return
                yield data[at : at + _ENTRY]


def read_fat(read: Read, length: int) -> Fat:
    """The file system of a volume of `length` bytes. Raises `FileSystemError`."""
    head = read(0, UNIT)
    if len(head) < UNIT or head[510:512] != b"\x55\xaa":
        raise _damaged("it has no boot sector")
    sector, per_cluster, reserved, tables, entries, sectors, per_table = struct.unpack_from("<HBHBHHxH", head, 11)
    (many,) = struct.unpack_from("<I", head, 32)
    many_per_table, root_cluster = struct.unpack_from("<I4xI", head, 36)
    is_32 = per_table == 0
    sectors, per_table = sectors or many, per_table or many_per_table
    root = (reserved + tables * per_table) * sector
    root_length = entries * _ENTRY
    data = root + -(-root_length // max(sector, 1)) * sector
    clusters = (sectors * sector - data) // max(sector * per_cluster, 1)
    bits = 32 if is_32 else 12 if clusters < 4085 else 16
    whole = (
        sector in (512, 1024, 2048, 4096)
        and per_cluster in (1, 2, 4, 8, 16, 32, 64, 128)
        and reserved > 0
        and tables in (1, 2)
        and 0 < clusters < (0x0FFFFFF5 if is_32 else 65525)
        and sectors * sector <= length
        and (clusters + 2) * bits <= per_table * sector * 8
        and (is_32 or entries > 0)
        and not (is_32 and entries)
    )
    if not whole:
        raise _damaged("its boot sector does not fit the volume")
    return Fat(
        read, bits, reserved * sector, tables * per_table * sector, root, root_length,
        root_cluster if is_32 else 0, data, sector * per_cluster, clusters,
    )  # fmt: skip


def _short_name(entry: bytes) -> str:
    name, extension = (part.decode("cp437").rstrip() for part in (entry[:8], entry[8:11]))
    return (f"{name}.{extension}" if extension else name).upper()


def _damaged(why: str) -> FileSystemError:
    return FileSystemError(
        "file-system-damaged", f"The operating system volume cannot be read: {why}.", "Run fsck.fat."
    )
