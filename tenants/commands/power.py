"""Starting, stopping and removing virtual machines that exist."""

from django.db import transaction

from fabric.commands import placements
from fabric.dispatch import assign_job
from fabric.models import Host
from portal.kernel import audit, jobs
from portal.kernel.actor import Actor
from portal.kernel.errors import Unavailable
from portal.kernel.models import Job
from portal.kernel.policy import require
from tenants.commands.states import require_move
from tenants.commands.virtual_machines import Started, new_job, scope_of
from tenants.models import VirtualMachine, VmState
from tenants.policy import VmAction, decide_vm
from tenants.steps import REMOVE_VM, START_VM, STOP_VM


def start_vm(actor: Actor, *, vm: VirtualMachine) -> Started:
    """Ask the VM's host to start it; the host gets the keys from HGS only while it is healthy."""
    require(decide_vm(actor, VmAction.START, vm))
    with transaction.atomic():
        host = _host(vm)
        require_move(vm, VmState.STARTING, problem={})
        job = _begin(actor, vm, START_VM, "vm:start-requested", "start")
        assign_job(job.pk, host, "host.start_vm", {"vm_id": str(vm.pk)})
    return _started(vm, job)


def stop_vm(actor: Actor, *, vm: VirtualMachine, force: bool = False) -> Started:
    """Ask the VM's host to shut it down, or with `force` to switch it off at once."""
    require(decide_vm(actor, VmAction.STOP, vm))
    with transaction.atomic():
        host = _host(vm)
        require_move(vm, VmState.STOPPING, problem={})
        job = _begin(actor, vm, STOP_VM, "vm:stop-requested", "stop")
        assign_job(job.pk, host, "host.stop_vm", {"vm_id": str(vm.pk), "force": force})
    return _started(vm, job)


def remove_vm(actor: Actor, *, vm: VirtualMachine) -> Started:
    """Remove the VM, its disk and its keys for good; a VM that no host has is gone at once."""
    require(decide_vm(actor, VmAction.REMOVE, vm))
    with transaction.atomic():
        host = vm.placement.host if vm.placement else None
        require_move(vm, VmState.REMOVING, problem={})
        job = _begin(actor, vm, REMOVE_VM, "vm:remove-requested", "remove")
        if host is None:
            jobs.succeed(job.pk)
            job.refresh_from_db()
            forget_vm(vm)
            return Started(vm, job)
        assign_job(job.pk, host, "host.remove_vm", {"vm_id": str(vm.pk)})
    return _started(vm, job)


def forget_vm(vm: VirtualMachine) -> None:
    """Drop the row of a VM that is no more, and give back what it held. Its jobs and audit events stay."""
    VirtualMachine.objects.filter(pk=vm.pk).delete()
    placements.release(vm.pk)


def _begin(actor: Actor, vm: VirtualMachine, kind: str, event: str, verb: str) -> Job:
    job = new_job(actor, vm, kind)
    VirtualMachine.objects.filter(pk=vm.pk).update(job_id=job.pk)
    audit.record(
        actor, event, target_type="virtual-machine", target_id=vm.pk, scope=scope_of(vm.subscription_id),
        summary=f"Asked to {verb} virtual machine {vm.name}",
    )  # fmt: skip
    return job


def _host(vm: VirtualMachine) -> Host:
    if vm.placement is None or vm.placement.host is None:
        raise Unavailable("vm-without-host", f"{vm.name} is on no host.", "Remove it and create it again.")
    return vm.placement.host


def _started(vm: VirtualMachine, job: Job) -> Started:
    vm.refresh_from_db()
    return Started(vm, job)
