"""VHDX containers ([MS-VHDX]), read only: where each byte of the disk lies in the file.

Only what a template disk needs is accepted: version 1, logical sectors of 512 bytes, no parent, closed properly (an
empty log). Every place is checked against the file before it is used.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from fabric.disks.crc32c import crc32c
from fabric.disks.errors import ImageError
from fabric.disks.image import DiskLayout, Extent, joined

SIGNATURE: Final = b"vhdxfile"
DISK_MAX: Final = 2**41
_KIB: Final = 1024
_MIB: Final = 1024 * 1024
_HEADERS: Final = (64 * _KIB, 128 * _KIB)
_REGIONS: Final = (192 * _KIB, 256 * _KIB)
_HEADER: Final = struct.Struct("<4sIQ16s16s16sHHIQ")
_REGION_ENTRY: Final = struct.Struct("<16sQII")
_METADATA_ENTRY: Final = struct.Struct("<16sIIII")
_REGIONS_MAX: Final = 2047
_ITEMS_MAX: Final = 2047
_SECTOR: Final = 512

_BAT: Final = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
_METADATA: Final = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_FILE_PARAMETERS: Final = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_DISK_SIZE: Final = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_LOGICAL_SECTOR: Final = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
_PHYSICAL_SECTOR: Final = uuid.UUID("cda348c7-445d-4471-9cc9-e9885251c556")
_PAGE_83: Final = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
_PARENT_LOCATOR: Final = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
_KNOWN_ITEMS: Final = {_FILE_PARAMETERS, _DISK_SIZE, _LOGICAL_SECTOR, _PHYSICAL_SECTOR, _PAGE_83, _PARENT_LOCATOR}
_ABSENT: Final = {0, 1, 2, 3}  # not present, undefined, zero, unmapped: zeros, all of them
_PRESENT: Final = 6

Read = Callable[[int, int], bytes]
"""Gives `length` bytes from `offset` of the file, fewer only at its end."""


@dataclass(frozen=True, slots=True)
class _Region:
    offset: int
    length: int


def read_vhdx(read: Read, file_length: int) -> DiskLayout:
    """The layout of a VHDX file of `file_length` bytes. Raises `ImageError`."""
    if read(0, len(SIGNATURE)) != SIGNATURE:
        raise ImageError("vhdx-signature", "The file is no VHDX.")
    _check_header(read)
    regions = _regions(read, file_length)
    items = _items(read, regions[_METADATA])
    block, length = _parameters(items)
    return DiskLayout(length, joined(_extents(read, regions[_BAT], block, length, file_length)))


def _check_header(read: Read) -> None:
    """The current one of both headers, which tells whether the file was closed properly."""
    found = [header for offset in _HEADERS if (header := _header(read(offset, 4 * _KIB)))]
    if not found:
        raise ImageError("vhdx-header", "Both headers of the VHDX are damaged.")
    _, log, version = max(found)
    if version != 1:
        raise ImageError("vhdx-version", f"The VHDX is of version {version}, which is not known.")
    if any(log):
        raise ImageError(
            "vhdx-log",
            "The VHDX was not closed properly: its log holds changes that are not in place yet.",
            "Attach the disk once and detach it again, or copy it with qemu-img convert.",
        )


def _header(data: bytes) -> tuple[int, bytes, int] | None:
    """(sequence number, log id, version); None where it is damaged."""
    if len(data) != 4 * _KIB or data[:4] != b"head" or not _is_intact(data):
        return None
    _, _, sequence, _, _, log, _, version, _, _ = _HEADER.unpack_from(data)
    return sequence, log, version


def _is_intact(data: bytes) -> bool:
    (stated,) = struct.unpack_from("<I", data, 4)
    return bool(crc32c(data[:4] + bytes(4) + data[8:]) == stated)


def _regions(read: Read, file_length: int) -> dict[uuid.UUID, _Region]:
    tables = (read(offset, 64 * _KIB) for offset in _REGIONS)
    table = next((item for item in tables if len(item) == 64 * _KIB and item[:4] == b"regi" and _is_intact(item)), None)
    if table is None:
        raise ImageError("vhdx-regions", "Both region tables of the VHDX are damaged.")
    (count,) = struct.unpack_from("<I", table, 8)
    if count > _REGIONS_MAX:
        raise ImageError("vhdx-regions", "The region table of the VHDX is damaged.")
    found: dict[uuid.UUID, _Region] = {}
    for index in range(count):
        kind, offset, length, required = _REGION_ENTRY.unpack_from(table, 16 + index * _REGION_ENTRY.size)
        name = uuid.UUID(bytes_le=kind)
        if name not in (_BAT, _METADATA):
            if required & 1:
                raise ImageError("vhdx-region", f"The VHDX needs a region that is not known ({name}).")
            continue
        if name in found or offset < _MIB or offset % _MIB or length % _MIB or offset + length > file_length:
            raise ImageError("vhdx-regions", "A region of the VHDX does not lie in the file as it should.")
        found[name] = _Region(offset, length)
    if len(found) != 2:
        raise ImageError("vhdx-regions", "The VHDX has no block table or no metadata.")
    return found


def _items(read: Read, region: _Region) -> dict[uuid.UUID, bytes]:
    table = read(region.offset, 64 * _KIB)
    if len(table) != 64 * _KIB or table[:8] != b"metadata":
        raise ImageError("vhdx-metadata", "The metadata of the VHDX is damaged.")
    (count,) = struct.unpack_from("<H", table, 10)
    if count > _ITEMS_MAX:
        raise ImageError("vhdx-metadata", "The metadata of the VHDX is damaged.")
    found: dict[uuid.UUID, bytes] = {}
    for index in range(count):
        kind, offset, length, flags, _ = _METADATA_ENTRY.unpack_from(table, 32 + index * _METADATA_ENTRY.size)
        name = uuid.UUID(bytes_le=kind)
        if name not in _KNOWN_ITEMS:
            if flags & 4:
                raise ImageError("vhdx-metadata", f"The VHDX needs metadata that is not known ({name}).")
            continue
        if name in found or not 64 * _KIB <= offset <= offset + length <= region.length:
            raise ImageError("vhdx-metadata", "The metadata of the VHDX is damaged.")
        found[name] = read(region.offset + offset, min(length, 64))
    return found


def _parameters(items: dict[uuid.UUID, bytes]) -> tuple[int, int]:
    """(bytes of a block, bytes of the disk)."""
    try:
        block, flags = struct.unpack_from("<II", items[_FILE_PARAMETERS])
        (length,) = struct.unpack_from("<Q", items[_DISK_SIZE])
        (sector,) = struct.unpack_from("<I", items[_LOGICAL_SECTOR])
    except (KeyError, struct.error):
        raise ImageError("vhdx-metadata", "The metadata of the VHDX is damaged.") from None
    if flags & 2 or _PARENT_LOCATOR in items:
        raise ImageError(
            "differencing",
            "The VHDX is a differencing disk: most of its bytes lie in another file.",
            "Merge it with its parent, then use the result.",
        )
    if sector != _SECTOR:
        raise ImageError("sector-size", f"The disk has sectors of {sector} bytes; template disks have 512.")
    if block & (block - 1) or not _MIB <= block <= 256 * _MIB:
        raise ImageError("vhdx-metadata", f"The VHDX has blocks of {block} bytes, which cannot be.")
    if not 0 < length <= DISK_MAX or length % sector:
        raise ImageError("disk-length", f"The disk has {length} bytes, which no template disk has.")
    return block, length


def _extents(read: Read, region: _Region, block: int, length: int, file_length: int) -> Iterator[Extent]:
    blocks = -(-length // block)
    ratio = 2**23 * _SECTOR // block  # behind so many entries stands one for a sector bitmap
    entries = blocks + (blocks - 1) // ratio
    if entries * 8 > region.length:
        raise ImageError("vhdx-block-table", "The block table of the VHDX is shorter than its disk.")
    table = read(region.offset, entries * 8)
    if len(table) != entries * 8:
        raise ImageError("vhdx-block-table", "The block table of the VHDX is cut short.")
    taken: set[int] = set()
    for index in range(blocks):
        (entry,) = struct.unpack_from("<Q", table, (index + index // ratio) * 8)
        state, place = entry & 7, (entry >> 20) * _MIB
        if state in _ABSENT:
            continue
        if state != _PRESENT:
            raise ImageError("vhdx-block-table", f"Block {index} of the VHDX is in a state that it cannot be in.")
        start = index * block
        used = min(block, length - start)
        if place < _MIB or place + used > file_length or place in taken:
            raise ImageError("vhdx-block-table", f"Block {index} of the VHDX does not lie in the file as it should.")
        taken.add(place)
        yield Extent(start, used, place)
