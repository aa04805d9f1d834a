"""What cannot be opened without one of HGS's guardians: every VM and shielding data file of every tenant."""

from typing import Any

from django.db.models import Q

from tenants.models import ShieldingData, VirtualMachine, VmState
from tenants.rollover.bundle import ObjectKind


def dependents() -> list[dict[str, Any]]:
    """[{kind, id, name, owner_fingerprint, guardians}], VMs first; nothing secret.

    `guardians` are the SHA-256 of the encryption certificate of each wrapping but the owner's. A VM whose creation
    failed has no key protector and is not among them.
    """
    has_protector = Q(provisioned=True) | Q(state=VmState.CREATING)
    vms = VirtualMachine.objects.filter(has_protector).select_related("shielding_data").order_by("pk")
    found = [_entry(ObjectKind.VM, vm, vm.owner_fingerprint) for vm in vms.iterator()]
    files = ShieldingData.objects.order_by("pk").iterator()
    return found + [_entry(ObjectKind.SHIELDING_DATA, data, data.owner_fingerprint) for data in files]


def _entry(kind: ObjectKind, row: VirtualMachine | ShieldingData, owner_fingerprint: str) -> dict[str, Any]:
    return {
        "kind": kind.value,
        "id": str(row.pk),
        "name": row.name,
        "owner_fingerprint": owner_fingerprint,
        "guardians": [named["encryption"] for named in row.guardians if named.get("encryption")],
    }
