"""The tenants' states as shapes, words and colours."""

from datetime import datetime

from hgs.transparency.entry import KeyEvent
from portal.web import status
from portal.web.status import Shape, Status, Tone
from tenants.models import Protection, VirtualMachine, VmState
from tenants.selectors.key_account import OwnerAccount
from tenants.selectors.virtual_machines import heartbeat_is_stale


def vm_state(vm: VirtualMachine, now: datetime, percent: int | None = None) -> Status:
    """A VM's state; one that runs but is not heard of is shown with "as of"."""
    match vm.state:
        case VmState.RUNNING:
            if heartbeat_is_stale(vm, now):
                beat = vm.placement.last_heartbeat_at if vm.placement else None
                return status.unknown("Running?", f"last heard of {beat:%H:%M} UTC" if beat else "not heard of yet")
            return status.running()
        case VmState.STOPPED:
            if vm.problem:
                return status.warning("Stopped", str(vm.problem.get("message", "")))
            return status.stopped()
        case VmState.FAILED:
            return status.failed("Failed", str(vm.problem.get("message", "")))
        case _:
            return status.in_progress(VmState(vm.state).label, percent)


def heartbeat(vm: VirtualMachine, now: datetime) -> Status:
    """Whether the guest still says that it lives; beside it stands when it last did."""
    if vm.state != VmState.RUNNING:
        return status.stopped("None now")
    return status.unknown("Silent") if heartbeat_is_stale(vm, now) else status.running("Alive")


def guardian(outdated: bool) -> Status:
    """Whether an object's key protector names the fabric's present guardian."""
    return status.warning("Outdated") if outdated else status.running("Current")


def protection(value: str) -> Status:
    """How far a VM is protected from the fabric."""
    return status.shielded() if value == Protection.SHIELDED else status.encryption_supported()


def key_event(event: KeyEvent) -> Status:
    """A release with the offline starts it granted, or a refusal with the reason in words."""
    if event.is_release:
        offline = f"With {event.offline} start{'' if event.offline == 1 else 's'} without HGS."
        return Status(Shape.OK, "Released", Tone.OK, reason=offline if event.offline else "")
    return status.refused("Refused", event.message or event.reason)


def not_yours() -> Status:
    """An entry of one's own keys that names a VM one does not have."""
    return status.warning("No VM of yours")


def key_account(account: OwnerAccount) -> Status:
    """Whether the reader has proven to hold the owner's key."""
    return status.running("Open") if account.is_open else status.pending("Not proven yet")
