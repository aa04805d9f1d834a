"""Where everything lies on a VM's disk: its own partition table, the EFI system partition, the encrypted OS volume."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from fabric.disks import gpt
from fabric.disks.catalog import Role, SignedCatalog, regions
from fabric.disks.errors import DiskChanged
from fabric.disks.gpt import EFI_SYSTEM, SECTOR, Partition, PartitionTable, parse_gpt
from fabric.disks.reading import OpenDisk
from fabric.hyperv import luks
from fabric.hyperv.errors import HostError
from fabric.hyperv.sector_cipher import SECTOR as SECTOR_LENGTH
from fabric.hyperv.secure_worker.disk_making import Part
from hgs.keyprotection.secret import Secret

_RESERVE: Final = 256 * 1024 * 1024
"""What is left for the other VMs of the host."""


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """`table` is the VM's, `template` the one that it was made from; `system` is the OS partition of `table`."""

    table: PartitionTable
    template: dict[Role, tuple[int, int]]
    system: Partition

    def parts(self, volume_key: Secret) -> tuple[Part, ...]:
        """The four volumes of the template, and where the two that the VM gets go."""
        efi = self.table.of_type(EFI_SYSTEM)[0]
        targets = {Role.EFI_SYSTEM: efi.offset, Role.OPERATING_SYSTEM: self.system.offset + luks.HEADER_LENGTH}
        return tuple(
            Part(role, start, length, targets.get(role), volume_key if role is Role.OPERATING_SYSTEM else None)
            for role, (start, length) in self.template.items()
        )

    def write_frame(self, target: int) -> None:
        """Give the open file its length and all of its room, and write the partition table, which is not copied.

        Raises `HostError`.
        """
        room = os.fstatvfs(target)
        if room.f_bavail * room.f_frsize < self.table.disk_length + _RESERVE:
            raise HostError(
                "disk-full",
                f"The host has no room for a disk of {self.table.disk_length // 1024**2} MiB.",
                "Free space on the host, or choose another host, then retry.",
            )
        primary, backup = self.table.serialise()
        os.posix_fallocate(target, 0, self.table.disk_length)
        os.pwrite(target, primary, 0)
        os.pwrite(target, backup, self.table.disk_length - len(backup))


def plan_disk(disk: OpenDisk, catalog: SignedCatalog, new_id: Callable[[], UUID]) -> DiskPlan:
    """The plan for a disk with this catalog, from a partition table that is not verified yet: that follows.

    Raises `DiskChanged`, `PartitionTableError`, `CatalogError`, `HostError`.
    """
    stated, length = catalog.catalog.disk_length, disk.layout.length
    if length != stated:
        raise DiskChanged([("end of the disk", min(length, stated), max(length, stated))])
    places = {volume.role: (volume.offset, volume.length) for volume in catalog.catalog.volumes}
    primary = disk.read(0, gpt.PRIMARY_LENGTH)
    backup = disk.read(length - gpt.BACKUP_LENGTH, gpt.BACKUP_LENGTH)
    _check_unchanged(catalog, primary, backup)
    table = parse_gpt(primary, backup, length)
    if regions(table) != places:
        raise HostError("catalog-layout", "The catalog does not cover the partitions that the partition table names.")
    grown = _enlarged(table, new_id)
    return DiskPlan(grown, places, _system(grown))


def _check_unchanged(catalog: SignedCatalog, primary: bytes, backup: bytes) -> None:
    """Both tables first, so that a changed one is told as what it is."""
    catalog.check_some({Role.PARTITION_TABLE: primary, Role.BACKUP_PARTITION_TABLE: backup})


def _enlarged(table: PartitionTable, new_id: Callable[[], UUID]) -> PartitionTable:
    """The VM's own table: new ids, and an OS partition with room for the encryption header."""
    system = _system(table)
    grown = luks.HEADER_LENGTH // SECTOR
    if any(item.first_sector > system.first_sector for item in table.partitions):
        raise HostError("template-layout", "A template's OS partition must be the last one on its disk.")
    if system.length % SECTOR_LENGTH or system.offset % SECTOR_LENGTH:
        raise HostError(
            "template-layout", f"A template's OS partition begins and ends at multiples of {SECTOR_LENGTH} bytes."
        )
    partitions = tuple(
        replace(item, unique_id=new_id(), last_sector=item.last_sector + (grown if item is system else 0))
        for item in table.partitions
    )
    return PartitionTable(new_id(), table.sectors + grown, table.first_usable, table.last_usable + grown, partitions)


def _system(table: PartitionTable) -> Partition:
    place, _ = regions(table)[Role.OPERATING_SYSTEM]
    return next(item for item in table.partitions if item.offset == place)
