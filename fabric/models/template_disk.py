"""Signed template disks that shielded VMs are made from."""

from typing import Self

from django.db import models

from fabric.models.library import LibraryBlob
from portal.kernel.actor import Actor, Role
from portal.kernel.ids import new_id


class TemplateState(models.TextChoices):
    """Whether new VMs may be made from a template disk."""

    AVAILABLE = "available", "Available"
    RETIRED = "retired", "Retired"


class TemplateDiskQuerySet(models.QuerySet["TemplateDisk"]):
    """Tenants see what they can use; the fabric sees everything."""

    def visible_to(self, actor: Actor) -> Self:
        """All for fabric administrators and the system, those on offer for tenants."""
        if actor.roles & {Role.FABRIC_ADMIN, Role.SYSTEM}:
            return self
        if Role.TENANT in actor.roles:
            return self.on_offer()
        return self.none()

    def on_offer(self) -> Self:
        """What tenants may make new VMs from: available, with family and release filled in."""
        return self.filter(state=TemplateState.AVAILABLE).exclude(family="").exclude(release="")


class TemplateDisk(models.Model):
    """A disk with its volume signature catalog. Name, version and signer come from the verified catalog alone.

    Family ("Debian") and release ("12") are the administrator's words, by which tenants find it; nothing trusts them.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=128)
    version = models.CharField(max_length=64)
    family = models.CharField(max_length=64, blank=True)
    release = models.CharField(max_length=64, blank=True)
    description = models.CharField(max_length=500, blank=True)
    signer_fingerprint = models.CharField(max_length=64)
    signer_subject = models.CharField(max_length=255, blank=True)
    catalog = models.ForeignKey(LibraryBlob, on_delete=models.PROTECT, related_name="+")
    disk = models.ForeignKey(LibraryBlob, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16, choices=TemplateState, default=TemplateState.AVAILABLE)
    published_by = models.CharField(max_length=150)
    published_at = models.DateTimeField(auto_now_add=True)

    objects = TemplateDiskQuerySet.as_manager()

    class Meta:
        ordering = ["family", "name", "-published_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "version", "signer_fingerprint"],
                condition=models.Q(state="available"),
                name="fabric_template_identity_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def is_on_offer(self) -> bool:
        """Whether tenants may make new VMs from it."""
        return self.state == TemplateState.AVAILABLE and bool(self.family and self.release)

    @property
    def version_key(self) -> tuple[int, ...]:
        """The version as numbers, for ordering; the catalog's grammar makes it four of them."""
        return tuple(int(part) for part in self.version.split(".") if part.isdecimal())

    @property
    def disk_name(self) -> str:
        """The name in the catalog, as volume ID qualifiers compare it."""
        return self.name
