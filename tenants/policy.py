"""What may be done with a VM or shielding data: action × state × protection. Buttons and commands read the same.

Who may see an object is decided before, by `visible_to`: these tables speak of objects that are the actor's own.
"""

from enum import StrEnum

from fabric.models import HostState
from portal.kernel.actor import Actor, Role
from portal.kernel.policy import Allowed, Decision, Denial
from tenants.models import ShieldingData, Subscription, SubscriptionState, VirtualMachine, VmState


class VmAction(StrEnum):
    """What can be asked of a VM."""

    START = "start"
    STOP = "stop"
    REMOVE = "remove"
    RETRY = "retry"
    CONSOLE = "console"


_FROM: dict[VmAction, frozenset[VmState]] = {
    VmAction.START: frozenset({VmState.STOPPED, VmState.FAILED}),
    VmAction.STOP: frozenset({VmState.RUNNING}),
    VmAction.REMOVE: frozenset({VmState.RUNNING, VmState.STOPPED, VmState.FAILED}),
    VmAction.RETRY: frozenset({VmState.FAILED}),
}
_NOT_YOURS = Denial("Only its owner may change this.", "not-owner")


def decide_vm(actor: Actor, action: VmAction, vm: VirtualMachine) -> Decision:
    """Whether `action` is possible on this VM now, or why not."""
    if not _owns(actor, vm.subscription):
        return _NOT_YOURS
    if action is VmAction.CONSOLE:
        return _decide_console(vm)
    if vm.state not in _FROM[action]:
        return _wrong_state(action, vm)
    if action is VmAction.RETRY and vm.provisioned:
        return Denial("This VM has a disk already. Start it instead.", "vm-provisioned", because_of_state=True)
    if action is VmAction.START and not vm.provisioned:
        return Denial("This VM was never finished. Retry its creation instead.", "vm-not-made", because_of_state=True)
    if action in (VmAction.START, VmAction.RETRY) and vm.subscription.state != SubscriptionState.ACTIVE:
        return _suspended(vm.subscription)
    return Allowed()


def decide_create(actor: Actor, subscription: Subscription) -> Decision:
    """Whether anything new may be made in this subscription."""
    if not _owns(actor, subscription):
        return _NOT_YOURS
    return Allowed() if subscription.state == SubscriptionState.ACTIVE else _suspended(subscription)


def decide_remove_shielding_data(actor: Actor, data: ShieldingData) -> Decision:
    """Shielding data stays while a VM made from it exists: starting that VM needs its key protector."""
    if not _owns(actor, data.subscription):
        return _NOT_YOURS
    count = getattr(data, "vm_count", None)
    count = data.virtual_machines.count() if count is None else count
    if count:
        return Denial(
            "One virtual machine made from this file still exists."
            if count == 1
            else f"{count} virtual machines made from this file still exist.",
            "shielding-data-in-use",
            "Remove those virtual machines first.",
            because_of_state=True,
        )
    return Allowed()


def decide_own_keys(actor: Actor) -> Decision:
    """Whether the actor is somebody who can own keys: a tenant. Fabric administrators read no account of keys."""
    if actor.has(Role.TENANT):
        return Allowed()
    return Denial("Only tenants open the account of their keys.", "not-a-tenant")


def decide_replace_shielding_data(actor: Actor, data: ShieldingData) -> Decision:
    """Its owner may replace it whatever the subscription's state: nothing new is made by it."""
    return Allowed() if _owns(actor, data.subscription) else _NOT_YOURS


def decide_describe_shielding_data(actor: Actor, data: ShieldingData) -> Decision:
    """Whose it is may call it what they like."""
    return Allowed() if _owns(actor, data.subscription) else _NOT_YOURS


def decide_key_protector(actor: Actor, vm: VirtualMachine) -> Decision:
    """Whether the VM's host can be asked for its key protector now, or given another one."""
    if not _owns(actor, vm.subscription):
        return _NOT_YOURS
    if vm.in_transition:
        return Denial(
            f"This VM is {vm.get_state_display().lower()} now.", "vm-state", "Wait until that is done, then try again.",
            because_of_state=True,
        )  # fmt: skip
    host = vm.placement.host if vm.placement else None
    if not vm.provisioned or host is None:
        return Denial(
            "No host has this VM, so it has no key protector.", "vm-without-host", "Retry its creation, or remove it.",
            because_of_state=True,
        )  # fmt: skip
    if host.state != HostState.ONLINE:
        return Denial(
            f"Its host {host.name} does not answer now.", "host-away",
            "Try again when it is back; the fabric administrator knows more.", because_of_state=True,
        )  # fmt: skip
    return Allowed()


def _decide_console(vm: VirtualMachine) -> Decision:
    if vm.is_shielded:
        where = _ssh_target(vm)
        return Denial(
            f"Console is off: this VM is Shielded. Use SSH{f' at {where}' if where else ' when it runs'}.",
            "console-shielded",
            "Nobody on the fabric can open the screen or keyboard of a shielded VM; that is what protects it.",
        )
    return Denial("This fabric offers no console. Use SSH.", "console-not-offered")


def _ssh_target(vm: VirtualMachine) -> str:
    placement = vm.placement
    return f"{placement.host.address} port {placement.access_port}" if placement and placement.host else ""


def _wrong_state(action: VmAction, vm: VirtualMachine) -> Denial:
    state = vm.get_state_display().lower()
    if vm.in_transition:
        sentence = f"This VM is {state} now; wait until that is done."
    else:
        sentence = f"This VM is {state}, so there is nothing to {action.value}."
    return Denial(sentence, "vm-state", because_of_state=True)


def _suspended(subscription: Subscription) -> Denial:
    return Denial(
        f"Subscription {subscription.name} is suspended: what it has stays, nothing new can be made.",
        "subscription-suspended",
        "Ask the fabric administrator.",
        because_of_state=True,
    )


def _owns(actor: Actor, subscription: Subscription) -> bool:
    return actor.is_system or (actor.has(Role.TENANT) and str(subscription.owner_id) == actor.id)
