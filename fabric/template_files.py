"""What the portal reads of a template's files before it publishes them.

The portal does not vouch for a template: every host checks each block of its own copy against the catalog. Here only
such faults are caught as would make publishing pointless: a catalog that is not signed right, a file that is no disk.
"""

from dataclasses import dataclass
from pathlib import Path

from fabric.disks.catalog import parse_catalog
from fabric.disks.errors import DiskError
from fabric.file_types import HEAD_BYTES, check_beginning
from fabric.models import BlobKind
from portal.kernel.errors import Invalid


@dataclass(frozen=True, slots=True)
class CatalogIdentity:
    """What volume ID qualifiers compare: the disk's name and version and the signer's certificate (SHA-256, hex)."""

    disk_name: str
    version: str
    signer_fingerprint: str
    signer_subject: str


def read_catalog(data: bytes) -> CatalogIdentity:
    """The identity in a volume signature catalog whose signature holds; raises `Invalid` (`catalog-invalid`)."""
    try:
        signed = parse_catalog(data).verify()
    except DiskError as error:
        raise Invalid(
            "catalog-invalid",
            f"The volume signature catalog was refused. {error.message}",
            error.advice or "Sign the disk again and upload the catalog that gf template writes.",
            details={"reason": error.code},
            fields={"catalog": "Not a valid volume signature catalog."},
        ) from error
    return CatalogIdentity(
        disk_name=signed.disk_name,
        version=signed.version,
        signer_fingerprint=signed.signer_fingerprint.hex(),
        signer_subject=signed.certificate.subject.rfc4514_string()[:255],
    )


def check_disk(path: Path) -> None:
    """Refuse a file that is neither a VHDX nor a raw disk with a GUID partition table; raises `Invalid`."""
    with path.open("rb") as file:
        check_beginning(BlobKind.TEMPLATE_DISK, file.read(HEAD_BYTES), is_whole=True)
