"""The one way a VM changes state: a compare-and-swap along `TRANSITIONS`."""

from typing import Any
from uuid import UUID

from django.utils import timezone

from portal.kernel.errors import Conflict
from tenants.models import VirtualMachine, VmState
from tenants.models.virtual_machine import TRANSITIONS


def move(vm_id: UUID, old: VmState, new: VmState, **fields: Any) -> bool:
    """Change the state if it is still `old`, together with other fields; False where it is not.

    Raises `ValueError` for a move that the table does not have: a fault of the caller.
    """
    if new not in TRANSITIONS[old]:
        raise ValueError(f"a VM does not go from {old} to {new}")
    changed = VirtualMachine.objects.filter(pk=vm_id, state=old).update(
        state=new, state_changed_at=timezone.now(), **fields
    )
    return bool(changed)


def require_move(vm: VirtualMachine, new: VmState, **fields: Any) -> None:
    """`move` from the state the caller saw; raises `Conflict` where somebody was faster."""
    if not move(vm.pk, VmState(vm.state), new, **fields):
        raise Conflict("vm-changed", f"{vm.name} has just changed.", "Look at it again, then decide.")
