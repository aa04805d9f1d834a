"""Signing a template disk in the fabric: what the wizard is told, beginning, cancelling and taking up again."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from fabric import import_folder
from fabric.commands import signing_work
from fabric.disks.catalog import check_identity
from fabric.disks.errors import CatalogError
from fabric.dispatch import enqueue
from fabric.models import TemplateDisk, TemplateSigning, TemplateState, UnsignedDisk
from fabric.policy import FabricAction, decide, decide_cancel_signing, decide_change_signing
from fabric.signers import read_certificate, usable_signer
from portal.kernel import audit, jobs
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.models import Job, JobState
from portal.kernel.policy import require

TARGET = "template-signing"
STEPS = (
    jobs.Step("convert", "Convert to VHDX", 4),
    jobs.Step("hash", "Hash every block that boots, and sign", 6),
    jobs.Step("publish", "Publish in the library", 5),
)


def begin_signing(actor: Actor, *, signer: str) -> TemplateSigning:
    """A draft, with the certificate that will sign. Raises `Denied`, `Invalid` (field `signer`)."""
    require(decide(actor, FabricAction.SIGN_TEMPLATE))
    chosen = usable_signer(signer, timezone.now())
    with transaction.atomic():
        signing = TemplateSigning.objects.create(
            signer=chosen.name, signer_fingerprint=chosen.fingerprint, signer_subject=chosen.subject,
            created_by=actor.name,
        )  # fmt: skip
        _record(actor, signing, "template-signing:begun", f"Began to sign a template as {chosen.name}")
    return signing


def prepare_signing(
    actor: Actor,
    *,
    signer: str,
    name: str,
    version: str,
    description: str = "",
    disk: UnsignedDisk | None = None,
    import_name: str = "",
    boot_certificate: bytes = b"",
) -> tuple[TemplateSigning, Job]:
    """Everything that the wizard asks for at once, or nothing, and the job that looks at the disk.

    Raises as the commands for each step do.
    """
    with transaction.atomic():
        signing = begin_signing(actor, signer=signer)
        name_template(actor, signing=signing, name=name, version=version, description=description)
        job = choose_disk(
            actor, signing=signing, disk=disk, import_name=import_name, boot_certificate=boot_certificate
        )  # fmt: skip
    return signing, job


def choose_signer(actor: Actor, *, signing: TemplateSigning, signer: str) -> None:
    """Sign with another certificate. Raises as `begin_signing`, and `Conflict` while it is being signed."""
    require(decide_change_signing(actor, signing))
    chosen = usable_signer(signer, timezone.now())
    _change(
        signing, signer=chosen.name, signer_fingerprint=chosen.fingerprint, signer_subject=chosen.subject
    )  # fmt: skip


def choose_disk(
    actor: Actor,
    *,
    signing: TemplateSigning,
    disk: UnsignedDisk | None = None,
    import_name: str = "",
    boot_certificate: bytes = b"",
) -> Job:
    """The disk to sign, one of the library or of the import folder; it is looked at by the job that is given.

    Without `boot_certificate` the one that came with the disk is taken. Raises `Denied`, `Conflict`, `Invalid`.
    """
    require(decide_change_signing(actor, signing))
    if disk is not None:
        pem, import_name = disk.boot_certificate, ""
    else:
        beside = import_folder.boot_certificate_beside(import_name)
        pem = read_certificate(beside, "boot_certificate") if beside else ""
    pem = read_certificate(boot_certificate, "boot_certificate") if boot_certificate else pem
    if not pem:
        raise Invalid(
            "boot-certificate-missing",
            "The disk came without the certificate of its boot program.",
            "Give the certificate of the key that signed EFI/BOOT/BOOTX64.EFI.",
            fields={"boot_certificate": "Needed: this disk came without one."},
        )
    with transaction.atomic():
        _change(signing, disk=disk, import_name=import_name, boot_certificate=pem, inspection=None)
        return _inspect(actor, signing)


def inspect_again(actor: Actor, *, signing: TemplateSigning) -> Job:
    """Look at the chosen disk once more. Raises `Denied`, `Conflict`."""
    require(decide_change_signing(actor, signing))
    _require_disk(signing)
    with transaction.atomic():
        _change(signing, inspection=None)
        return _inspect(actor, signing)


def note_name(actor: Actor, *, signing: TemplateSigning, name: str, version: str, description: str) -> None:
    """Keep what was typed as it is, for whoever comes back to it. Raises `Denied`, `Conflict`."""
    require(decide_change_signing(actor, signing))
    _change(signing, name=name[:128], version=version[:64], description=description[:500])


def name_template(actor: Actor, *, signing: TemplateSigning, name: str, version: str, description: str = "") -> None:
    """Name and version of the template. Raises `Denied`, `Conflict`, `Invalid` by field."""
    require(decide_change_signing(actor, signing))
    _check_identity(name, version)
    _check_new(signing, name, version)
    note_name(actor, signing=signing, name=name, version=version, description=description)


def start_signing(actor: Actor, *, signing: TemplateSigning) -> Job:
    """Sign and publish, or go on where an earlier job stopped.

    Raises `Denied`, `Conflict` (under way, published, disk refused or not looked at), `Invalid` (what is missing or
    taken).
    """
    require(decide_change_signing(actor, signing))
    _require_disk(signing)
    _check_identity(signing.name, signing.version)
    _check_new(signing, signing.name, signing.version)
    usable_signer(signing.signer, timezone.now())
    signing.refresh_from_db(fields=["inspection"])
    if not signing.inspection:
        raise Conflict(
            "not-inspected", "The disk has not been looked at yet.",
            "Wait for the job that inspects it, or inspect it again, then start.",
        )  # fmt: skip
    if signing.inspection.get("refusal"):
        refusal = signing.inspection["refusal"]
        raise Conflict(refusal["code"], refusal["message"], refusal["advice"])
    earlier, started_by = signing.job_id, "" if actor.is_system else actor.id
    with transaction.atomic():
        job = _job(actor, signing, "sign-template", f"Sign {signing}", STEPS)
        mine = TemplateSigning.objects.filter(pk=signing.pk, job=earlier, template=None)
        if not mine.update(job=job, started_by=started_by):
            raise Conflict("signing-changed", "Somebody else has just begun this signing.")
        data = {"name": signing.name, "version": signing.version, "source": signing.source, "again": bool(earlier)}
        _record(actor, signing, "template-signing:started", f"Started to sign {signing}", data)
        enqueue("fabric.sign_template", {"job_id": str(job.pk), "signing_id": str(signing.pk)})
    signing.refresh_from_db()
    return job


def cancel_signing(actor: Actor, *, signing: TemplateSigning) -> None:
    """Stop the job. What is hashed stays, so that it can go on later. Raises `Denied`, `Conflict`."""
    require(decide_cancel_signing(actor, signing))
    with transaction.atomic():
        ended = signing.job_id is not None and jobs.fail(
            signing.job_id, state=JobState.CANCELLED, code="signing-cancelled",
            message=f"{actor.name} cancelled the signing.", advice="It can be taken up again where it was.",
        )  # fmt: skip
        if not ended:
            raise Conflict("signing-ended", "The signing has just ended.")
        _record(actor, signing, "template-signing:cancelled", f"Cancelled the signing of {signing}")
    signing.refresh_from_db()


def discard_signing(actor: Actor, *, signing: TemplateSigning) -> None:
    """Forget a draft, or a signing that stopped, with its hashes. The disk stays. Raises `Denied`, `Conflict`."""
    require(decide_change_signing(actor, signing))
    pk = signing.pk
    with transaction.atomic():
        _record(actor, signing, "template-signing:discarded", f"Discarded the signing of {signing}")
        if not TemplateSigning.objects.filter(pk=pk, job=signing.job_id, template=None).delete()[0]:
            raise Conflict("signing-changed", "Somebody else has just changed this signing.")
    signing_work.forget(pk)


def _change(signing: TemplateSigning, **fields: Any) -> None:
    """Only while its job is the one that was seen: what is being signed must not change."""
    unchanged = TemplateSigning.objects.filter(pk=signing.pk, job=signing.job_id, template=None)
    if not unchanged.update(changed_at=timezone.now(), **fields):
        raise Conflict("signing-changed", "Somebody else has just changed this signing.", "Load the page again.")
    signing.refresh_from_db()


def _inspect(actor: Actor, signing: TemplateSigning) -> Job:
    steps = (jobs.Step("inspect", "Look at partitions, file system and boot program"),)
    job = _job(actor, signing, "inspect-disk", f"Inspect {signing.source}", steps)
    _change(signing, inspection_job=job)
    enqueue("fabric.inspect_disk", {"job_id": str(job.pk), "signing_id": str(signing.pk)})
    return job


def _job(
    actor: Actor, signing: TemplateSigning, kind: str, title: str, steps: tuple[jobs.Step, ...]
) -> Job:  # fmt: skip
    return jobs.create_job(
        actor, kind=kind, title=title[:200], scope="fabric", target_type=TARGET, target_id=signing.pk,
        target_name=str(signing)[:100], steps=steps,
    )  # fmt: skip


def no_such_disk() -> Invalid:
    """A disk that is not there, or is not the actor's to see."""
    return Invalid("disk-unknown", "The library has no such disk.", fields={"disk": "Choose one of the disks."})


def _require_disk(signing: TemplateSigning) -> None:
    if not signing.source:
        raise Invalid("disk-missing", "No disk is chosen yet.", fields={"disk": "Choose a disk."})


def _check_identity(name: str, version: str) -> None:
    try:
        check_identity(name, version)
    except CatalogError as error:
        field = "version" if error.code == "catalog-version" else "name"
        raise Invalid(error.code, error.message, fields={field: error.message}) from error


def _check_new(signing: TemplateSigning, name: str, version: str) -> None:
    taken = TemplateDisk.objects.filter(
        name=name, version=version, signer_fingerprint=signing.signer_fingerprint, state=TemplateState.AVAILABLE
    )
    if taken.exists():
        sentence = f"{name} {version} by this signer is published already."
        raise Invalid("template-exists", sentence, "Take a new version.", fields={"version": sentence})


def _record(
    actor: Actor, signing: TemplateSigning, event: str, summary: str, more: Mapping[str, Any] | None = None
) -> None:
    data = {"signer": signing.signer, "signer_fingerprint": signing.signer_fingerprint, **(more or {})}
    audit.record(
        actor, event, target_type=TARGET, target_id=signing.pk, summary=summary, scope="fabric", data=data
    )  # fmt: skip
