"""What cannot be opened without one of HGS's guardians: every VM and shielding data file of every tenant."""

from typing import Any

from django.db.models import Q

from tenants.models import ShieldingData, VirtualMachine, VmState
from tenants.rollover.bundle import ObjectKind
from tenants.selectors.rollover import with_outdated


def dependents() -> list[dict[str, Any]]:
    """[{kind, id, name, owner_fingerprint, guardians}], what names an older guardian first, then VMs; nothing secret.

    `guardians` are the SHA-256 of the encryption certificate of each wrapping but the owner's. A VM whose creation
    failed has no key protector and is not among them.
    """
    has_protector = Q(provisioned=True) | Q(state=VmState.CREATING)
    vms = with_outdated(VirtualMachine.objects.filter(has_protector).select_related("shielding_data"))
    files = with_outdated(ShieldingData.objects.all())
    found = [(vm.outdated, _entry(ObjectKind.VM, vm)) for vm in vms.order_by("pk").iterator()]  # type: ignore[attr-defined]
    found += [(data.outdated, _entry(ObjectKind.SHIELDING_DATA, data)) for data in files.order_by("pk").iterator()]  # type: ignore[attr-defined]
    return [entry for _, entry in sorted(found, key=lambda one: not one[0])]


def _entry(kind: ObjectKind, row: VirtualMachine | ShieldingData) -> dict[str, Any]:
    return {
        "kind": kind.value,
        "id": str(row.pk),
        "name": row.name,
        "owner_fingerprint": row.owner_fingerprint,
        "guardians": list(dict.fromkeys(named["encryption"] for named in row.guardians if named.get("encryption"))),
    }
