"""A VM's own key protector in its owner's hands: fetched from the host, changed by the owner offline, put back.

The original's Get-VMKeyProtector and Set-VMKeyProtector. A rollover (`tenants.commands.rollover`) is the same for all
VMs that name an older guardian, and goes by the functions below that begin the jobs.
"""

import base64
import hashlib
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from fabric.dispatch import assign_job
from fabric.selectors.guardian import guardian_in_force
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.protector import (
    VerifiedProtector,
    import_protector,
    parse_protector,
    serialise_protector,
    verify_protector,
)
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.models import Job
from portal.kernel.policy import require
from tenants.commands.virtual_machines import new_job, scope_of
from tenants.models import ProtectorState, VirtualMachine, VmKeyProtector
from tenants.models.key_protector import UNDER_WAY
from tenants.pdk_file import NamedGuardian, guardians_of
from tenants.policy import decide_key_protector
from tenants.steps import EXPORT_PROTECTOR, REPLACE_PROTECTOR

_AGAIN = "Fetch the key protector, change that one and upload it before the VM is started again."


@dataclass(frozen=True, slots=True)
class Replacement:
    """A key protector that a VM's host is taking over, and who can open it.

    `names_present_guardian`: whether this fabric's guardian of now is among them; None while the portal knows none.
    """

    vm: VirtualMachine
    job: Job
    sha256: str
    owner_fingerprint: str
    guardians: list[NamedGuardian]
    names_present_guardian: bool | None


def fetch_key_protector(actor: Actor, *, vm: VirtualMachine) -> Job:
    """Ask the VM's host for the key protector in force; the job that does it, or the one that is at it already.

    Raises `Denied`, `Conflict` (`vm-state`, `vm-without-host`, `host-away`, `protector-busy`).
    """
    require(decide_key_protector(actor, vm))
    with transaction.atomic():
        kept = locked_protector(vm)
        if kept.state == ProtectorState.EXPORTING and kept.job_id:
            return Job.objects.get(pk=kept.job_id)
        require_idle(kept)
        return begin_export(actor, vm, kept)


def set_key_protector(actor: Actor, *, vm: VirtualMachine, document: bytes) -> Replacement:
    """Have the VM's host take over what the owner made of the key protector that was fetched last.

    `document` may carry the 4-byte length that the original's tools put before it. Raises `Denied`, `Invalid`
    (`protector-invalid`, `other-owner`, `protector-not-by-owner`), `Conflict` (as `fetch_key_protector`, and
    `protector-outdated` for one that is not of the fetched one, or that was fetched before the VM's last start).
    """
    require(decide_key_protector(actor, vm))
    verified = read_protector(document, _AGAIN)
    require_same_owner(vm.owner_fingerprint, verified.owner_fingerprint)
    if not verified.signer.is_owner:
        raise Invalid(
            "protector-not-by-owner",
            "The owner did not sign this key protector.",
            "Upload the one that gf key-protector grant or revoke wrote with your owner guardian.",
        )
    with transaction.atomic():
        kept = locked_protector(vm)
        require_idle(kept)
        _require_of_the_fetched(kept, verified)
        content, guardians = serialise_protector(verified.protector), guardians_of(verified)
        job = begin_replacement(actor, vm, kept, content, guardians)
    present = guardian_in_force()
    named = None if present is None else present.pair in {one["pair"] for one in guardians}
    return Replacement(vm, job, hashlib.sha256(content).hexdigest(), verified.owner_fingerprint, guardians, named)


def _require_of_the_fetched(kept: VmKeyProtector, changed: VerifiedProtector) -> None:
    """Raise unless the owner made it for the transport key of the fetched one, as the owner's own wrapping shows.

    The host compares with the one in force; this says the same sooner, and nothing is begun.
    """
    if not kept.document:
        raise Conflict(
            "protector-outdated",
            "No key protector of this VM is here that this one could have been made of: it was not fetched, was "
            "replaced since, or the VM was started since.",
            _AGAIN,
        )
    fetched = verify_protector(parse_protector(bytes(kept.document)))
    if changed.owner != fetched.owner:
        raise Conflict(
            "protector-outdated",
            "It was not made of the key protector that was fetched last. The VM was started in between, or it is of "
            "another VM.",
            _AGAIN,
        )


# --- what a rollover shares


def read_protector(document: bytes, advice: str) -> VerifiedProtector:
    """A key protector whose signatures are right. Raises `Invalid` (`protector-invalid`)."""
    try:
        return verify_protector(import_protector(document))
    except KeyProtectionError as error:
        raise Invalid(
            "protector-invalid", f"This is not a key protector that can be used. {error.message}", advice,
            details={"reason": error.code},
        ) from error  # fmt: skip


def require_same_owner(before: str, after: str) -> None:
    """An object's owner never changes. Raises `Invalid` (`other-owner`)."""
    if after != before:
        raise Invalid(
            "other-owner",
            "It belongs to another owner guardian than before, and an object's owner never changes.",
            "Change it with the owner guardian that it was made with.",
        )


def locked_protector(vm: VirtualMachine) -> VmKeyProtector:
    """What is kept of a VM's protector, locked until the caller's transaction ends."""
    kept, _ = VmKeyProtector.objects.select_for_update().get_or_create(vm=vm)
    return kept


def require_idle(kept: VmKeyProtector) -> None:
    """Raise `Conflict` (`protector-busy`) while the host is at work on it."""
    if kept.under_way:
        raise Conflict("protector-busy", "Its host is at work on its key protector.", "Wait until that is done.")


def begin_export(actor: Actor, vm: VirtualMachine, kept: VmKeyProtector) -> Job:
    """The job that fetches a VM's protector, in the caller's transaction, which holds the idle row."""
    job = _begin_job(actor, vm, kept, EXPORT_PROTECTOR, ProtectorState.EXPORTING)
    if vm.placement and vm.placement.host:
        assign_job(job.pk, vm.placement.host, "host.export_protector", {"vm_id": str(vm.pk)})
    audit.record(
        actor, "vm:protector-requested", target_type="virtual-machine", target_id=vm.pk,
        scope=scope_of(vm.subscription_id), summary=f"Asked the host of {vm.name} for its key protector",
    )  # fmt: skip
    return job


def begin_replacement(
    actor: Actor, vm: VirtualMachine, kept: VmKeyProtector, document: bytes, guardians: list[NamedGuardian]
) -> Job:
    """The job by which the host takes over a verified protector, in the caller's transaction, which holds the row."""
    digest = hashlib.sha256(document).hexdigest()
    job = _begin_job(
        actor, vm, kept, REPLACE_PROTECTOR, ProtectorState.REPLACING,
        replacement_sha256=digest, replacement_guardians=guardians,
    )  # fmt: skip
    if vm.placement and vm.placement.host:
        protector = base64.b64encode(document).decode()
        assign_job(job.pk, vm.placement.host, "host.replace_protector", {"vm_id": str(vm.pk), "protector": protector})
    audit.record(
        actor, "vm:protector-uploaded", target_type="virtual-machine", target_id=vm.pk,
        scope=scope_of(vm.subscription_id), summary=f"Uploaded a changed key protector for {vm.name}",
        data={"sha256": digest, "before": kept.sha256, "guardians": [one["fingerprint"] for one in guardians]},
    )  # fmt: skip
    return job


def _begin_job(
    actor: Actor, vm: VirtualMachine, kept: VmKeyProtector, kind: str, state: ProtectorState, **fields: object
) -> Job:
    job = new_job(actor, vm, kind)
    VmKeyProtector.objects.filter(pk=kept.pk).exclude(state__in=UNDER_WAY).update(
        state=state, job_id=job.pk, problem={}, **fields
    )
    return job


def forget_export(vm_id: UUID) -> None:
    """A VM has started: its host has another protector now, so what was fetched is of no use any more."""
    VmKeyProtector.objects.filter(pk=vm_id).exclude(state__in=UNDER_WAY).update(
        state=ProtectorState.STALE, document=b"", sha256="", problem={}
    )
