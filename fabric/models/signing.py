"""Disks that are not signed yet, and the signing of template disks in the fabric console, from draft to publication."""

from typing import Self

from django.db import models

from fabric.models.library import LibraryBlob
from fabric.models.template_disk import TemplateDisk
from portal.kernel.actor import Actor, Role
from portal.kernel.ids import new_id
from portal.kernel.models import Job, JobState


class UnsignedDiskQuerySet(models.QuerySet["UnsignedDisk"]):
    """Only who runs the fabric sees what is not published."""

    def visible_to(self, actor: Actor) -> Self:
        """All for fabric administrators and the system, none for others."""
        return self if actor.roles & {Role.FABRIC_ADMIN, Role.SYSTEM} else self.none()


class UnsignedDisk(models.Model):
    """A disk in the library that waits to be signed. `boot_certificate` is PEM, or empty."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    file_name = models.CharField(max_length=255)
    blob = models.ForeignKey(LibraryBlob, on_delete=models.PROTECT, related_name="+")
    boot_certificate = models.TextField(blank=True)
    imported_by = models.CharField(max_length=150)
    imported_at = models.DateTimeField(auto_now_add=True)

    objects = UnsignedDiskQuerySet.as_manager()

    class Meta:
        ordering = ["-imported_at"]

    def __str__(self) -> str:
        return self.file_name


class SigningState(models.TextChoices):
    """How far a signing is; it follows from its job and its template."""

    DRAFT = "draft", "Draft"
    SIGNING = "signing", "Being signed"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"
    PUBLISHED = "published", "Published"


class TemplateSigningQuerySet(models.QuerySet["TemplateSigning"]):
    """Signings belong to the fabric's administrators together."""

    def visible_to(self, actor: Actor) -> Self:
        """All for fabric administrators and the system, none for others."""
        return self if actor.roles & {Role.FABRIC_ADMIN, Role.SYSTEM} else self.none()


class TemplateSigning(models.Model):
    """What the wizard has been told so far, the job that signs, and what came of it.

    The disk is `disk`, or the file `import_name` of the import folder. `signer` names a configured signing key and
    `signer_fingerprint` the certificate it had when it was chosen: another one does not sign. `inspection` holds what
    was found on the disk (`fabric.publishing.findings`), None until then. `started_by` is the id of the account whose
    rights count when it is published, empty for the system itself; `result` holds, once signed, `issuer` of
    the certificate and `roots`, the root hashes by volume, hex.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    signer = models.CharField(max_length=64)
    signer_fingerprint = models.CharField(max_length=64)
    signer_subject = models.CharField(max_length=255, blank=True)
    disk = models.ForeignKey(UnsignedDisk, on_delete=models.PROTECT, null=True, related_name="signings")
    import_name = models.CharField(max_length=255, blank=True)
    boot_certificate = models.TextField(blank=True)
    name = models.CharField(max_length=128, blank=True)
    version = models.CharField(max_length=64, blank=True)
    description = models.CharField(max_length=500, blank=True)
    inspection = models.JSONField(null=True)
    inspection_job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True, related_name="+")
    job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True, related_name="+")
    template = models.ForeignKey(TemplateDisk, on_delete=models.SET_NULL, null=True, related_name="+")
    result = models.JSONField(default=dict)
    started_by = models.CharField(max_length=64, blank=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    objects = TemplateSigningQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip() or self.source or "A new template"

    @property
    def source(self) -> str:
        """The chosen disk's file name, empty before one is chosen."""
        return self.disk.file_name if self.disk else self.import_name

    @property
    def state(self) -> SigningState:
        """Where it stands now."""
        if self.template_id is not None:
            return SigningState.PUBLISHED
        if self.job is None:
            return SigningState.DRAFT
        if self.job.is_open:
            return SigningState.SIGNING
        return SigningState.STOPPED if self.job.state == JobState.CANCELLED else SigningState.FAILED

    @property
    def in_transition(self) -> bool:
        """Whether it changes by itself."""
        return self.state == SigningState.SIGNING

    @property
    def inspected(self) -> bool:
        """Whether the disk was looked at, and may be signed."""
        return self.inspection is not None and not self.inspection.get("refusal")
