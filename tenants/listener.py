"""What hosts and jobs say about VMs, turned into the VMs' states. Registered with the fabric at start."""

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from fabric.commands import placements
from fabric.messages import HostError
from fabric.models import Placement, PowerState
from fabric.workloads import Finished
from portal.kernel import audit
from portal.kernel.actor import system_actor
from portal.kernel.models import Job
from tenants.commands import key_protector_jobs
from tenants.commands.key_protector import forget_export
from tenants.commands.power import forget_vm
from tenants.commands.recovery_key import keep_recovery_key
from tenants.commands.states import move
from tenants.commands.virtual_machines import scope_of
from tenants.models import VirtualMachine, VmState
from tenants.steps import CREATE_VM, REMOVE_VM, START_VM, STOP_VM

SETTLED_AFTER = timedelta(seconds=60)
"""A report that a VM is missing may be older than the VM's last change; only later ones count."""

_SUCCEEDED = {CREATE_VM: VmState.RUNNING, START_VM: VmState.RUNNING, STOP_VM: VmState.STOPPED}
_FAILED = {
    CREATE_VM: VmState.FAILED,
    START_VM: VmState.STOPPED,
    STOP_VM: VmState.RUNNING,
    REMOVE_VM: VmState.FAILED,
}
_DURING = {
    CREATE_VM: VmState.CREATING,
    START_VM: VmState.STARTING,
    STOP_VM: VmState.STOPPING,
    REMOVE_VM: VmState.REMOVING,
}
_MISSING = {
    "code": "vm-missing",
    "message": "Its host no longer has this virtual machine.",
    "advice": "Remove it here and create it again; what was on its disk is gone.",
}


class VmListener:
    """Implements `fabric.workloads.WorkloadListener`."""

    def job_finished(self, finished: Finished) -> None:
        """Move the VM where the end of its job leads."""
        kind = Job.objects.values_list("kind", flat=True).get(pk=finished.job_id)
        if kind in key_protector_jobs.KINDS:
            key_protector_jobs.protector_job_ended(kind, finished)
            return
        vm = VirtualMachine.objects.filter(pk=finished.vm_id, job_id=finished.job_id).first()
        if vm is None or kind not in _DURING:
            return
        if finished.outcome == "succeeded":
            _succeeded(vm, kind, finished)
        else:
            _failed(vm, kind, finished.error)

    def vm_reported(self, vm_id: UUID, state: str, reason: str) -> None:
        """Follow a host's unasked report, unless a job is changing the VM just now."""
        vm = VirtualMachine.objects.filter(pk=vm_id).first()
        if vm is None or vm.in_transition:
            return
        old = VmState(vm.state)
        if state == "running" and old is not VmState.RUNNING and vm.provisioned:
            move(vm.pk, old, VmState.RUNNING, problem={})
        elif state == "stopped" and old is VmState.RUNNING:
            move(vm.pk, old, VmState.STOPPED, problem={})
            _record(vm, "vm:stopped", f"Virtual machine {vm.name} has shut down")
        elif state == "failed" and old is VmState.RUNNING:
            sentence = reason or "The virtual machine stopped unexpectedly."
            move(vm.pk, old, VmState.FAILED, problem=_problem(HostError("vm-failed", sentence, "Start it again.")))
            _record(vm, "vm:failed", f"Virtual machine {vm.name} failed: {sentence}")
        elif state == "missing" and timezone.now() - vm.state_changed_at > SETTLED_AFTER and old is VmState.RUNNING:
            move(vm.pk, old, VmState.FAILED, problem=_MISSING)
            _record(vm, "vm:failed", f"The host of virtual machine {vm.name} no longer has it")


def _succeeded(vm: VirtualMachine, kind: str, finished: Finished) -> None:
    if kind == REMOVE_VM:
        forget_vm(vm)
        _record(vm, "vm:removed", f"Virtual machine {vm.name} was removed")
        return
    if kind == CREATE_VM:
        keep_recovery_key(vm, Job.objects.values_list("result", flat=True).get(pk=finished.job_id))
    new = _SUCCEEDED[kind]
    move(vm.pk, _DURING[kind], new, problem={}, provisioned=True)
    if new is VmState.RUNNING:
        forget_export(vm.pk)
    power = PowerState.RUNNING if new is VmState.RUNNING else PowerState.STOPPED
    Placement.objects.filter(pk=vm.pk).update(power_state=power)
    _record(vm, f"vm:{new.value}", f"Virtual machine {vm.name} is {new.label.lower()}")


def _failed(vm: VirtualMachine, kind: str, error: HostError | None) -> None:
    move(vm.pk, _DURING[kind], _FAILED[kind], problem=_problem(error))
    if kind == CREATE_VM:
        placements.release(vm.pk)
    verb = kind.removesuffix("-vm")
    _record(vm, f"vm:{verb}-failed", f"Could not {verb} virtual machine {vm.name}: {error.message if error else ''}")


def _problem(error: HostError | None) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "advice": error.advice} if error else {}


def _record(vm: VirtualMachine, event: str, summary: str) -> None:
    audit.record(
        system_actor("fabric"), event, target_type="virtual-machine", target_id=vm.pk, summary=summary[:500],
        scope=scope_of(vm.subscription_id),
    )  # fmt: skip
