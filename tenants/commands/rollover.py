"""Rollover, on the way out: fetching the key protectors of VMs whose owner is to re-grant them."""

from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction

from fabric.dispatch import assign_job
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.models import Job
from portal.kernel.policy import Denial
from tenants.commands.virtual_machines import new_job, scope_of
from tenants.models import ProtectorState, VirtualMachine, VmKeyProtector
from tenants.models.key_protector import UNDER_WAY
from tenants.policy import decide_regrant
from tenants.selectors.rollover import outdated_vms, require_guardian
from tenants.steps import EXPORT_PROTECTOR


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a preparation began, and what it had to leave out: (VM's name, why)."""

    jobs: list[Job] = field(default_factory=list)
    left_out: list[tuple[str, Denial]] = field(default_factory=list)


def prepare_rollover(actor: Actor) -> Prepared:
    """Ask the hosts for the key protectors of all the actor's VMs that name an older guardian.

    One that is here already or on its way is not asked for again; a VM whose host is away is left out with the reason.
    Raises `Unavailable` (`guardian-unknown`).
    """
    require_guardian()
    prepared = Prepared()
    for vm in outdated_vms(actor).order_by("name"):
        decision = decide_regrant(actor, vm)
        if isinstance(decision, Denial):
            prepared.left_out.append((vm.name, decision))
        elif job := _export(actor, vm):
            prepared.jobs.append(job)
    return prepared


def _export(actor: Actor, vm: VirtualMachine) -> Job | None:
    """The job that fetches a VM's protector; None where it is here, or a job about it is under way."""
    with transaction.atomic():
        kept, _ = VmKeyProtector.objects.select_for_update().get_or_create(vm=vm)
        if kept.under_way or kept.state == ProtectorState.EXPORTED:
            return None
        job = begin_job(actor, vm, kept, EXPORT_PROTECTOR, ProtectorState.EXPORTING)
        if vm.placement and vm.placement.host:
            assign_job(job.pk, vm.placement.host, "host.export_protector", {"vm_id": str(vm.pk)})
        audit.record(
            actor, "vm:protector-requested", target_type="virtual-machine", target_id=vm.pk,
            scope=scope_of(vm.subscription_id), summary=f"Asked the host of {vm.name} for its key protector",
        )  # fmt: skip
    return job


def begin_job(
    actor: Actor, vm: VirtualMachine, kept: VmKeyProtector, kind: str, state: ProtectorState, **fields: object
) -> Job:
    """A job about a VM's protector, in the caller's transaction, which holds the row."""
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
