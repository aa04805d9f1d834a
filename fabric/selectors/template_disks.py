"""Template disks: in which order they are shown, what their catalogs cover, and who uses one, told by numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.db.models import Count

from fabric.disks.catalog import parse_catalog
from fabric.disks.errors import DiskError
from fabric.models import Host, Placement, TemplateDisk
from fabric.models.library import library_path
from fabric.workloads import files_that_trust


@dataclass(frozen=True, slots=True)
class HostUse:
    """How many VMs made from a disk a host has."""

    host: Host
    vms: int


@dataclass(frozen=True, slots=True)
class TemplateUse:
    """What depends on a template disk. `waiting` VMs have no host now; `trusting` is files by subscription."""

    vms: int
    waiting: int
    hosts: Sequence[HostUse]
    trusting: Mapping[str, int]

    @property
    def files(self) -> int:
        """How many shielding data files trust it."""
        return sum(self.trusting.values())


@dataclass(frozen=True, slots=True)
class Covered:
    """A part of the disk that the publisher signed: bytes `offset` to `offset + length`, and what it is for."""

    name: str
    offset: int
    length: int


def use_of(template: TemplateDisk) -> TemplateUse:
    """Who uses it now."""
    counted = dict(
        Placement.objects.filter(template=template).values_list("host").annotate(Count("pk")).order_by("host")
    )
    waiting = counted.pop(None, 0)
    hosts = [HostUse(host, counted[host.pk]) for host in Host.objects.filter(pk__in=counted).order_by("name")]
    vms = waiting + sum(counted.values())
    return TemplateUse(vms, waiting, hosts, dict(sorted(files_that_trust(template).items())))


def covered_by(template: TemplateDisk) -> list[Covered]:
    """The volumes its catalog covers; none where the library does not answer or the catalog is not what it was."""
    try:
        return list(_covered_by(template.catalog_id))
    except (OSError, DiskError):
        return []


@lru_cache(maxsize=64)  # a file under its hash never changes, and a large catalog takes a while to read
def _covered_by(catalog_id: str) -> tuple[Covered, ...]:
    signed = parse_catalog(library_path(catalog_id).read_bytes()).verify()
    return tuple(Covered(volume.role.phrase, volume.offset, volume.length) for volume in signed.catalog.volumes)


def newest_first(disks: Iterable[TemplateDisk]) -> list[TemplateDisk]:
    """By version as numbers, then by when they were published, the newest first."""
    return sorted(disks, key=lambda disk: (disk.version_key, disk.published_at), reverse=True)


def by_family(disks: Iterable[TemplateDisk]) -> list[TemplateDisk]:
    """By family and name, each name's newest version first; those without a family last."""
    return sorted(newest_first(disks), key=lambda each: (not each.family, each.family.casefold(), each.name.casefold()))


def versions_of(template: TemplateDisk) -> list[TemplateDisk]:
    """All that were published under its name by its signer, the newest version first."""
    same = TemplateDisk.objects.filter(name=template.name, signer_fingerprint=template.signer_fingerprint)
    return newest_first(same)
