"""Reads a template disk once, hashing and keeping the same bytes, so that what is used is what was verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fabric.disks.blocks import BLOCK_LENGTH, BlockHasher
from fabric.disks.catalog import Role, SignedCatalog, Volume, regions
from fabric.disks.errors import DiskChanged
from fabric.disks.gpt import PartitionTable, parse_gpt
from fabric.hyperv.errors import HostError
from fabric.hyperv.memory_files import memory_file

# Volumes are held in memory while they are prepared: a plaintext volume never touches a disk.
VOLUME_MAX: Final = 8 * 1024**3
_ZEROS: Final = bytes(BLOCK_LENGTH)


@dataclass(frozen=True, slots=True)
class TemplateCopy:
    """A verified template in memory: its partition table and open anonymous files of its two partitions."""

    table: PartitionTable
    efi_system: int
    operating_system: int
    efi_length: int
    os_length: int


@contextmanager
def verified_copy(template: Path, catalog: SignedCatalog, report: Callable[[int], None]) -> Iterator[TemplateCopy]:
    """Copy the volumes of a raw disk into memory and verify the copy. `report` gets percentages.

    Raises `DiskChanged` naming partition and byte range, `PartitionTableError`, `CatalogError` or `HostError`.
    """
    volumes = catalog.catalog.volumes
    total = sum(volume.length for volume in volumes)
    if any(volume.length > VOLUME_MAX for volume in volumes):
        raise HostError("template-too-large", f"A template's volumes have at most {VOLUME_MAX // 1024**3} GiB here.")
    with ExitStack() as stack, template.open("rb") as disk:
        copies = {
            volume.role: stack.enter_context(memory_file(volume.role.value, length=volume.length)) for volume in volumes
        }
        leaves, done = {}, 0
        for volume in volumes:
            leaves[volume.role] = _copy(disk.fileno(), volume, copies[volume.role])
            done += volume.length
            report(done * 100 // total)
        catalog.check_volumes(leaves)
        table = _table(copies, catalog, template.stat().st_size)
        yield TemplateCopy(
            table,
            copies[Role.EFI_SYSTEM],
            copies[Role.OPERATING_SYSTEM],
            catalog.catalog.volume(Role.EFI_SYSTEM).length,
            catalog.catalog.volume(Role.OPERATING_SYSTEM).length,
        )


def _copy(disk: int, volume: Volume, copy: int) -> tuple[bytes, ...]:
    hasher = BlockHasher()
    while hasher.length < volume.length:
        wanted = min(BLOCK_LENGTH, volume.length - hasher.length)
        data = os.pread(disk, wanted, volume.offset + hasher.length)
        if len(data) != wanted:
            start = volume.offset + hasher.length
            raise DiskChanged([(volume.role.phrase, start + len(data), volume.offset + volume.length)])
        # A new anonymous file holds zeros already.
        if data != _ZEROS[:wanted]:
            os.pwrite(copy, data, hasher.length)
        hasher.update(data)
    return hasher.finish()


def _table(copies: dict[Role, int], catalog: SignedCatalog, disk_length: int) -> PartitionTable:
    if disk_length != catalog.catalog.disk_length:
        raise DiskChanged([("end of the disk", min(disk_length, catalog.catalog.disk_length), disk_length)])
    first, last = catalog.catalog.volume(Role.PARTITION_TABLE), catalog.catalog.volume(Role.BACKUP_PARTITION_TABLE)
    primary = os.pread(copies[Role.PARTITION_TABLE], first.length, 0)
    backup = os.pread(copies[Role.BACKUP_PARTITION_TABLE], last.length, 0)
    table = parse_gpt(primary, backup, disk_length)
    if regions(table) != {volume.role: (volume.offset, volume.length) for volume in catalog.catalog.volumes}:
        raise HostError("catalog-layout", "The catalog does not cover the partitions that the partition table names.")
    return table
