"""Files of the library: stored once under the hash of their content."""

from pathlib import Path

from django.conf import settings
from django.db import models


class BlobKind(models.TextChoices):
    """What a library file is; it sets its size limit."""

    TEMPLATE_DISK = "template-disk", "Template disk"
    UNSIGNED_DISK = "unsigned-disk", "Unsigned disk"
    CATALOG = "catalog", "Volume signature catalog"
    SHIELDING_DATA = "shielding-data", "Shielding data file"


class LibraryBlob(models.Model):
    """A file kept at LIBRARY_DIR/<first two digits>/<sha256>."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    size = models.BigIntegerField()
    kind = models.CharField(max_length=16, choices=BlobKind)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["sha256"]

    def __str__(self) -> str:
        return self.sha256

    @property
    def path(self) -> Path:
        """Where the file lies; derived from the hash, so that no stored path can point elsewhere."""
        return library_path(self.sha256)


def library_path(sha256: str) -> Path:
    """The place of a file in the library."""
    return settings.LIBRARY_DIR / sha256[:2] / sha256
