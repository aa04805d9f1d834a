"""Tells what file system a volume has by its signature, as blkid(8) does for these five."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Final

from fabric.disks.errors import FileSystemError

NEEDED_MAX: Final = 128 * 1024 * 1024
"""Bytes of a volume that a host holds in memory while it places files there, however large the volume is."""
Read = Callable[[int, int], bytes]
"""Gives `length` bytes from `offset` of a volume, fewer only at its end."""


class FileSystem(StrEnum):
    """What a volume can hold an operating system on."""

    EXT4 = "ext4"
    NTFS = "NTFS"
    FAT = "FAT"
    BTRFS = "btrfs"
    XFS = "XFS"


_SIGNATURES: Final[tuple[tuple[FileSystem, int, bytes], ...]] = (
    (FileSystem.EXT4, 1024 + 56, b"\x53\xef"),  # ext2 and ext3 as well
    (FileSystem.NTFS, 3, b"NTFS    "),
    (FileSystem.FAT, 54, b"FAT12   "),
    (FileSystem.FAT, 54, b"FAT16   "),
    (FileSystem.FAT, 82, b"FAT32   "),
    (FileSystem.BTRFS, 64 * 1024 + 64, b"_BHRfS_M"),
    (FileSystem.XFS, 0, b"XFSB"),
)


def file_system_of(read: Read) -> FileSystem | None:
    """The file system of a volume, None for one that is not known."""
    for kind, offset, signature in _SIGNATURES:
        if read(offset, len(signature)) == signature:
            return kind
    return None


def bounded(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """These (offset, length) ranges of a volume, `NEEDED_MAX` bytes at most. Raises `FileSystemError`."""
    left = NEEDED_MAX
    for offset, length in ranges:
        left -= length
        if left < 0:
            raise FileSystemError(
                "file-system-needs-much",
                f"To place files into the operating system volume, a host would have to hold more than "
                f"{NEEDED_MAX // 1024**2} MiB of it in memory.",
                "Use larger clusters or blocks, or a smaller volume.",
            )
        yield offset, length
