"""Checks whether a disk can be a template, before it is signed: what would fail at a tenant fails here, by name.

Nothing is mounted. What cannot be told from outside, for example whether Windows was generalised if its registry would
have to be asked, is not claimed.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fabric.disks import gpt
from fabric.disks.catalog import Role, regions
from fabric.disks.efi_image import EfiImageError, parse_efi_image
from fabric.disks.errors import FileSystemError
from fabric.disks.ext4 import Ext4, read_ext4
from fabric.disks.fat import read_fat
from fabric.disks.filesystems import FileSystem, Read, bounded, file_system_of
from fabric.disks.gpt import PartitionTable, parse_gpt
from fabric.disks.kernel_image import measured_events
from fabric.disks.ntfs import Ntfs, read_ntfs
from fabric.disks.reading import OpenDisk
from fabric.publishing.errors import PublishingError
from fabric.publishing.tools import run

BOOT_PROGRAM: Final = "::/EFI/BOOT/BOOTX64.EFI"
FOLDERS: Final = ("/etc/guarded", "/etc/guarded/files")
WINDOWS_FOLDERS: Final = ("/Windows/Panther", "/temp")
_FILES_IN_EACH: Final = 66
_SECTOR: Final = 4096
_PIECE: Final = 4 * 1024**2
_HOST_KEYS: Final = ("/etc/ssh", "/etc/dropbear")
_GENERALISED: Final = "/Windows/System32/Sysprep/Sysprep_succeeded.tag"


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a disk is that may be signed: bytes `offset` to `offset + length` hold the operating system."""

    table: PartitionTable
    file_system: FileSystem
    offset: int
    length: int


def inspect_disk(disk: OpenDisk, boot_certificate: x509.Certificate | None) -> Inspected:
    """Every check; `boot_certificate` must have signed the boot program, None asks for none.

    Raises `PartitionTableError`, `CatalogError`, `FileSystemError`, `PublishingError`.
    """
    table = partition_table(disk)
    offset, length = regions(table)[Role.OPERATING_SYSTEM]
    check_place(table, offset, length)

    def read(start: int, size: int) -> bytes:
        return disk.read(offset + start, min(size, max(length - start, 0)))

    kind = file_system_of(read)
    _check_volume(kind, read, length)
    _check_boot_program(disk, table, boot_certificate)
    return Inspected(table, FileSystem(kind or ""), offset, length)


def partition_table(disk: OpenDisk) -> PartitionTable:
    """Raises `PartitionTableError`."""
    length = disk.layout.length
    primary = disk.read(0, min(gpt.PRIMARY_LENGTH, length))
    backup = disk.read(max(length - gpt.BACKUP_LENGTH, 0), min(gpt.BACKUP_LENGTH, length))
    return parse_gpt(primary, backup, length)


def check_place(table: PartitionTable, offset: int, length: int) -> None:
    """Whether hosts can enlarge and encrypt the partition there. Raises `PublishingError`."""
    if any(partition.offset > offset for partition in table.partitions):
        raise PublishingError(
            "os-partition-place",
            "Another partition lies behind the operating system's, which must be the last one: hosts enlarge it.",
            "Remove or move the partition behind it, for example a recovery partition.",
        )
    if length % _SECTOR or offset % _SECTOR:
        raise PublishingError(
            "os-partition-length",
            f"The operating system partition does not begin and end at multiples of {_SECTOR} bytes.",
            "Align its beginning and its end to 1 MiB.",
        )


def _check_volume(kind: FileSystem | None, read: Read, length: int) -> None:
    """Whether hosts can place files into it, within their bounds, and nobody has used it yet."""
    if kind is FileSystem.EXT4:
        ext4 = read_ext4(read, length)
        _check_needed(ext4.needed_for(FOLDERS, _FILES_IN_EACH))
        _check_generalised(ext4)
    elif kind is FileSystem.NTFS:
        ntfs = read_ntfs(read, length)
        ntfs.check_usable()
        _check_windows(ntfs)
        _check_needed(ntfs.needed_for(WINDOWS_FOLDERS, _FILES_IN_EACH))
    elif kind is FileSystem.FAT:
        _check_needed(read_fat(read, length).needed_for(FOLDERS))
    else:
        name = kind or "one that is not known"
        raise FileSystemError(
            "file-system-unsupported",
            f"The operating system volume has the file system {name}: hosts cannot place shielding data into it.",
            "Use ext4, NTFS or FAT for the volume that holds the operating system.",
        )


def _check_needed(ranges: Iterable[tuple[int, int]]) -> None:
    """Read all that hosts will hold, and fail where they would."""
    deque(bounded(ranges), maxlen=0)


def _check_generalised(volume: Ext4) -> None:
    identity = volume.find("/etc/machine-id")
    if identity is not None and identity.is_file:
        text = volume.contents(identity).strip()
        if text not in (b"", b"uninitialized"):
            raise _not_generalised("/etc/machine-id names one machine", "Empty that file.")
    for folder in _HOST_KEYS:
        for name in _names(volume, folder):
            if name.startswith((b"ssh_host_", b"dropbear_")) and name.endswith((b"_key", b"host_key")):
                raise _not_generalised(f"{folder} holds an SSH host key", "Remove the host keys.")


def _names(volume: Ext4, folder: str) -> Iterator[bytes]:
    found = volume.find(folder)
    if found is not None and found.is_folder:
        yield from volume.entries(found)


def _check_windows(volume: Ntfs) -> None:
    """By the mark that Sysprep leaves."""
    if volume.find(_GENERALISED) is None:
        raise _not_generalised("Sysprep has left no mark on it", "Run sysprep /generalize /oobe /shutdown in Windows.")


def _not_generalised(why: str, advice: str) -> PublishingError:
    return PublishingError(
        "not-generalised",
        f"The disk is not generalised: {why}, and every machine made from it would be that one.",
        f"{advice} On Debian, gf template build-linux makes disks that are.",
    )


def _check_boot_program(disk: OpenDisk, table: PartitionTable, certificate: x509.Certificate | None) -> None:
    with _boot_program(disk, table) as program:
        try:
            measured_events(parse_efi_image(program.read_bytes()))
        except EfiImageError as error:
            raise PublishingError(
                "boot-program-kind",
                f"Hosts cannot tell beforehand what the boot program will measure: {error}.",
                "Boot a unified kernel image of a known systemd-stub, as docs/formats/template-disk.md says.",
            ) from None
        if certificate is not None:
            _check_signed(program, certificate)


def _check_signed(program: Path, certificate: x509.Certificate) -> None:
    pem = program.with_suffix(".pem")
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    try:
        run(["sbverify", "--cert", pem, program])
    except PublishingError as error:
        if error.code == "tool-missing":
            raise
        raise PublishingError(
            "boot-program-signature",
            "The boot program is not signed by the boot certificate: Secure Boot would refuse it.",
            "Give the certificate of the key that signed EFI/BOOT/BOOTX64.EFI, or sign it with sbsign.",
        ) from None


@contextmanager
def _boot_program(disk: OpenDisk, table: PartitionTable) -> Iterator[Path]:
    """EFI/BOOT/BOOTX64.EFI of the EFI system partition, in a temporary file."""
    efi = table.of_type(gpt.EFI_SYSTEM)[0]
    with tempfile.TemporaryDirectory(prefix="gf-boot-") as name:
        volume, program = Path(name) / "efi.img", Path(name) / "boot.efi"
        _extract(disk, efi.offset, efi.length, volume)
        try:
            run(["mcopy", "-n", "-i", volume, BOOT_PROGRAM, program])
        except PublishingError as error:
            if error.code == "tool-missing":
                raise
            raise PublishingError(
                "boot-program-missing",
                "The EFI system partition has no program EFI/BOOT/BOOTX64.EFI, or is no FAT volume.",
                "Install the signed boot program under that name.",
            ) from None
        yield program


def _extract(disk: OpenDisk, start: int, length: int, target: Path) -> None:
    """Copy a range of the disk into a file, known zeros left out."""
    with target.open("wb") as stream:
        stream.truncate(length)
        for piece in disk.layout.pieces(start, length):
            if piece.place is None:
                continue
            stream.seek(piece.start - start)
            for at in range(0, piece.length, _PIECE):
                stream.write(disk.read(piece.start + at, min(_PIECE, piece.length - at)))
