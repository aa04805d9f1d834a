"""GUID partition tables (UEFI 2.10, section 5.3), read strictly and written the one way they are read.

Only what a template disk needs is accepted: 512-byte sectors, a protective MBR and nothing else in it, header revision
1.0, 128 entries of 128 bytes, both copies intact and equal. So `serialise` of a parsed table gives the same bytes.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass
from typing import Final

from fabric.disks.errors import PartitionTableError

SECTOR: Final = 512
ENTRY_COUNT: Final = 128
ENTRY_LENGTH: Final = 128
ARRAY_SECTORS: Final = ENTRY_COUNT * ENTRY_LENGTH // SECTOR
PRIMARY_LENGTH: Final = (2 + ARRAY_SECTORS) * SECTOR  # protective MBR, header, entries
BACKUP_LENGTH: Final = (1 + ARRAY_SECTORS) * SECTOR  # entries, header
MAX_SECTORS: Final = 2**41 // SECTOR  # 2 TiB: more than any template, far from every overflow

EFI_SYSTEM: Final = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
MICROSOFT_RESERVED: Final = uuid.UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae")
WINDOWS_RECOVERY: Final = uuid.UUID("de94bba4-06d1-4d40-a16a-bfd50179d6ac")
DYNAMIC: Final = (
    uuid.UUID("5808c8aa-7e8f-42e0-85d2-e1e90434cfb3"),
    uuid.UUID("af9b60a0-1431-4f62-bc68-3311714a69ad"),
)
"""Partitions of the Logical Disk Manager: what makes a disk a dynamic one."""
LINUX_FILESYSTEM: Final = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")

_HEADER: Final = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY: Final = struct.Struct("<16s16sQQQ72s")
_MBR_ENTRY: Final = struct.Struct("<B3sB3sII")


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition; sectors of 512 bytes, `last_sector` inclusive, `slot` its place in the table (0 to 127)."""

    slot: int
    type_id: uuid.UUID
    unique_id: uuid.UUID
    first_sector: int
    last_sector: int
    attributes: int
    name: str

    @property
    def offset(self) -> int:
        """Bytes from the start of the disk."""
        return self.first_sector * SECTOR

    @property
    def length(self) -> int:
        """Bytes."""
        return (self.last_sector - self.first_sector + 1) * SECTOR


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """A partition table of a disk with `sectors` sectors."""

    disk_id: uuid.UUID
    sectors: int
    first_usable: int
    last_usable: int
    partitions: tuple[Partition, ...]

    @property
    def disk_length(self) -> int:
        """Bytes."""
        return self.sectors * SECTOR

    def of_type(self, type_id: uuid.UUID) -> tuple[Partition, ...]:
        """The partitions of one type, in the order of the table."""
        return tuple(partition for partition in self.partitions if partition.type_id == type_id)

    def serialise(self) -> tuple[bytes, bytes]:
        """The first `PRIMARY_LENGTH` and the last `BACKUP_LENGTH` bytes of the disk."""
        array = _write_entries(self.partitions)
        last = self.sectors - 1
        primary = self._header(1, last, 2, array)
        backup = self._header(last, 1, last - ARRAY_SECTORS, array)
        return _protective_mbr(self.sectors) + primary + array, array + backup

    def _header(self, own: int, other: int, entries: int, array: bytes) -> bytes:
        fields = (own, other, self.first_usable, self.last_usable, self.disk_id.bytes_le, entries)
        tail = (ENTRY_COUNT, ENTRY_LENGTH, zlib.crc32(array))
        blank = _HEADER.pack(b"EFI PART", 0x00010000, _HEADER.size, 0, 0, *fields, *tail)
        header = _HEADER.pack(b"EFI PART", 0x00010000, _HEADER.size, zlib.crc32(blank), 0, *fields, *tail)
        return header.ljust(SECTOR, b"\0")


def parse_gpt(primary: bytes, backup: bytes, disk_length: int) -> PartitionTable:
    """Read the table of a disk of `disk_length` bytes from its first and last bytes (lengths as `serialise` gives).

    Raises `PartitionTableError`.
    """
    if len(primary) != PRIMARY_LENGTH or len(backup) != BACKUP_LENGTH:
        raise PartitionTableError("gpt-short", "The disk is too small to hold a GUID partition table.")
    if disk_length % SECTOR or not PRIMARY_LENGTH + BACKUP_LENGTH < disk_length <= MAX_SECTORS * SECTOR:
        raise PartitionTableError("gpt-disk-length", f"A disk of {disk_length} bytes cannot be a template disk.")
    header = primary[SECTOR : 2 * SECTOR]
    if header[:8] != b"EFI PART":
        raise PartitionTableError("gpt-missing", "The disk has no GUID partition table (GPT).")
    table = _read(header, primary[2 * SECTOR :], disk_length // SECTOR)
    if table.serialise() != (primary, backup):
        raise PartitionTableError(
            "gpt-inconsistent",
            "The partition table is damaged or not in the plain form: its two copies, check sums or protective MBR are "
            "not what they should be.",
        )
    return table


def _read(header: bytes, array: bytes, sectors: int) -> PartitionTable:
    (_, revision, size, _, _, _, _, first, last, disk_id, _, count, length, _) = _HEADER.unpack_from(header)
    if (revision, size, count, length) != (0x00010000, _HEADER.size, ENTRY_COUNT, ENTRY_LENGTH):
        raise PartitionTableError("gpt-form", "The partition table is of a revision or size that is not supported.")
    lowest, highest = 2 + ARRAY_SECTORS, sectors - 2 - ARRAY_SECTORS
    if not lowest <= first <= last <= highest:
        raise PartitionTableError("gpt-range", "The partition table's usable range does not fit on the disk.")
    partitions = tuple(
        _read_entry(slot, array[slot * ENTRY_LENGTH : (slot + 1) * ENTRY_LENGTH])
        for slot in range(ENTRY_COUNT)
        if any(array[slot * ENTRY_LENGTH : (slot + 1) * ENTRY_LENGTH])
    )
    _check_layout(partitions, first, last)
    return PartitionTable(uuid.UUID(bytes_le=disk_id), sectors, first, last, partitions)


def _read_entry(slot: int, data: bytes) -> Partition:
    type_id, unique_id, first, last, attributes, name = _ENTRY.unpack(data)
    try:
        text = name.decode("utf-16-le")
    except UnicodeDecodeError:
        raise PartitionTableError("gpt-name", f"The name of partition {slot + 1} is not UTF-16.") from None
    text, _, rest = text.partition("\0")
    if rest.strip("\0"):
        raise PartitionTableError("gpt-name", f"The name of partition {slot + 1} goes on behind its end.")
    kind, unique = uuid.UUID(bytes_le=type_id), uuid.UUID(bytes_le=unique_id)
    if not kind.int:
        raise PartitionTableError("gpt-entry", f"Partition {slot + 1} has no type but is not empty.")
    return Partition(slot, kind, unique, first, last, attributes, text)


def _check_layout(partitions: tuple[Partition, ...], first: int, last: int) -> None:
    position = first
    for partition in sorted(partitions, key=lambda item: item.first_sector):
        if not position <= partition.first_sector <= partition.last_sector <= last:
            raise PartitionTableError(
                "gpt-overlap", f"Partition {partition.slot + 1} overlaps another or leaves the usable range."
            )
        position = partition.last_sector + 1


def _write_entries(partitions: tuple[Partition, ...]) -> bytes:
    array = bytearray(ENTRY_COUNT * ENTRY_LENGTH)
    for item in partitions:
        name = item.name.encode("utf-16-le").ljust(72, b"\0")
        entry = (item.first_sector, item.last_sector, item.attributes, name)
        _ENTRY.pack_into(array, item.slot * ENTRY_LENGTH, item.type_id.bytes_le, item.unique_id.bytes_le, *entry)
    return bytes(array)


def _protective_mbr(sectors: int) -> bytes:
    # UEFI 2.10, table 5.4: one entry of type 0xEE from sector 1 to the end of the disk (or of what 32 bits can say).
    entry = _MBR_ENTRY.pack(0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, min(sectors - 1, 0xFFFFFFFF))
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"
