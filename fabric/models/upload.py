"""Files on their way into the library: announced, arriving in parts, not yet anything that anybody else sees."""

from datetime import datetime
from pathlib import Path
from typing import Self

from django.conf import settings
from django.db import models

from fabric.models.library import BlobKind
from portal.kernel.actor import Actor, Role
from portal.kernel.ids import new_id


class UploadQuerySet(models.QuerySet["Upload"]):
    """An upload is its sender's alone; nobody else can tell that it exists."""

    def visible_to(self, actor: Actor) -> Self:
        """The actor's own; all for the system."""
        return self if Role.SYSTEM in actor.roles else self.filter(owner_id=actor.id)

    def living(self, now: datetime) -> Self:
        """Those that can still go on."""
        return self.filter(expires_at__gt=now)


class Upload(models.Model):
    """One announced file. How much of it is here is the size of its partial file and nothing else.

    A row outlives its file for a while, so that a sender who comes too late is told that the upload has expired.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner_id = models.CharField(max_length=64, db_index=True, help_text="The id of the actor who announced it.")
    kind = models.CharField(max_length=16, choices=BlobKind)
    filename = models.CharField(max_length=255, blank=True, help_text="As its sender calls it; for showing alone.")
    metadata = models.CharField(max_length=1024, blank=True, help_text="The Upload-Metadata header as it came.")
    length = models.BigIntegerField(help_text="Bytes, as announced.")
    request = models.JSONField(default=dict, blank=True, help_text="What is to be made of it, while a job does that.")
    job_id = models.UUIDField(null=True, blank=True, help_text="The job that last worked on it.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    objects = UploadQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.filename or str(self.pk)

    @property
    def path(self) -> Path:
        """Where its bytes gather; derived from its id, so that no name from outside becomes a path."""
        return incoming_folder() / f"{self.pk}.part"

    @property
    def catalog_path(self) -> Path:
        """Where the catalog of a template disk waits with it for the job that publishes both."""
        return incoming_folder() / f"{self.pk}.vsc"

    @property
    def offset(self) -> int:
        """How many bytes are here."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def is_complete(self) -> bool:
        """Whether all of it has arrived."""
        return self.offset == self.length


def incoming_folder() -> Path:
    """The part of the library's folder that holds files on their way."""
    return settings.LIBRARY_DIR / "incoming"
