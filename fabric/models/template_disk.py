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
        """All for fabric administrators and the system, available ones for tenants."""
        if actor.roles & {Role.FABRIC_ADMIN, Role.SYSTEM}:
            return self
        if Role.TENANT in actor.roles:
            return self.filter(state=TemplateState.AVAILABLE)
        return self.none()


class TemplateDisk(models.Model):
    """A disk with its volume signature catalog. Name, version and signer come from the verified catalog alone."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=128)
    version = models.CharField(max_length=64)
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
        ordering = ["name", "-published_at"]
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
    def disk_name(self) -> str:
        """The name in the catalog, as volume ID qualifiers compare it."""
        return self.name
