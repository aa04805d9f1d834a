"""Taking unsigned disks into the library, where they wait to be signed, and removing them again."""

from collections.abc import Iterable
from pathlib import PurePath

from django.db import transaction
from django.db.models import ProtectedError

from fabric import library
from fabric.models import BlobKind, UnsignedDisk
from fabric.policy import FabricAction, decide
from fabric.signers import read_certificate
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict
from portal.kernel.policy import require


def import_disk(actor: Actor, *, file_name: str, disk: Iterable[bytes], boot_certificate: bytes = b"") -> UnsignedDisk:
    """Keep a disk that is to be signed; `disk` is streamed. The certificate is of its boot program, PEM or DER.

    Raises `Denied`, `Invalid` (certificate, size), `Unavailable`.
    """
    require(decide(actor, FabricAction.IMPORT_DISK))
    pem = read_certificate(boot_certificate, "boot_certificate") if boot_certificate else ""
    name = "".join(one for one in PurePath(file_name).name if one.isprintable())[:255] or "disk"
    with library.receive(disk, BlobKind.UNSIGNED_DISK) as received, transaction.atomic():
        found = UnsignedDisk.objects.create(
            file_name=name, blob=library.keep(received), boot_certificate=pem, imported_by=actor.name
        )
        _record(actor, found, "unsigned-disk:imported", f"Imported the unsigned disk {found}")
    return found


def discard_disk(actor: Actor, *, disk: UnsignedDisk) -> None:
    """Remove a disk that waits to be signed. Raises `Denied`, `Conflict` (`disk-in-use`) while a signing names it."""
    require(decide(actor, FabricAction.IMPORT_DISK))
    blob = disk.blob_id
    try:
        with transaction.atomic():
            _record(actor, disk, "unsigned-disk:discarded", f"Discarded the unsigned disk {disk}")
            disk.delete()
    except ProtectedError as error:
        raise Conflict(
            "disk-in-use", f"A signing names {disk}.", "Discard that signing first, or choose another disk in it."
        ) from error
    library.drop_if_unused(blob)


def _record(actor: Actor, disk: UnsignedDisk, event: str, summary: str) -> None:
    audit.record(
        actor, event, target_type="unsigned-disk", target_id=disk.id, summary=summary, scope="fabric",
        data={"disk": disk.blob_id},
    )  # fmt: skip
