"""Rollover, on the way out: fetching the key protectors of VMs whose owner is to re-grant them."""

from dataclasses import dataclass, field

from django.db import transaction

from portal.kernel.actor import Actor
from portal.kernel.models import Job
from portal.kernel.policy import Denial
from tenants.commands.key_protector import begin_export, locked_protector
from tenants.models import ProtectorState, VirtualMachine
from tenants.policy import decide_key_protector
from tenants.selectors.rollover import outdated_vms, require_guardian


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
        decision = decide_key_protector(actor, vm)
        if isinstance(decision, Denial):
            prepared.left_out.append((vm.name, decision))
        elif job := _export(actor, vm):
            prepared.jobs.append(job)
    return prepared


def _export(actor: Actor, vm: VirtualMachine) -> Job | None:
    """The job that fetches a VM's protector; None where it is here, or a job about it is under way."""
    with transaction.atomic():
        kept = locked_protector(vm)
        if kept.under_way or kept.state == ProtectorState.EXPORTED:
            return None
        return begin_export(actor, vm, kept)
