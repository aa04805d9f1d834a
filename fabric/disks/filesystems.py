"""Tells what file system a volume has by its signature, as blkid(8) does for these five."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

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
