"""Who uses a template disk, as the fabric's administrators may know it, and what its catalog covers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.core.cache import cache
from django.db.models import Count

from fabric.disks.catalog import parse_catalog
from fabric.disks.errors import DiskError
from fabric.models import Host, Placement, TemplateDisk
from fabric.workloads import files_that_trust

_CACHED_SECONDS = 24 * 3600


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
    key = f"catalog-covers:{template.catalog_id}"  # a file under its hash never changes
    found = cache.get(key)
    if found is None:
        try:
            volumes = parse_catalog(template.catalog.path.read_bytes()).verify().catalog.volumes
        except (OSError, DiskError):
            return []
        found = [[volume.role.phrase, volume.offset, volume.length] for volume in volumes]
        cache.set(key, found, _CACHED_SECONDS)
    return [Covered(*each) for each in found]


def versions_of(template: TemplateDisk) -> list[TemplateDisk]:
    """All that were published under its name by its signer, the newest version first."""
    same = TemplateDisk.objects.filter(name=template.name, signer_fingerprint=template.signer_fingerprint)
    return sorted(same, key=lambda each: (each.version_key, each.published_at), reverse=True)
