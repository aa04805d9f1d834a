"""The escrow of a VM's recovery key, for its owner to download."""

from portal.kernel.errors import NotFound
from tenants.models import VirtualMachine


def recovery_key_of(vm: VirtualMachine) -> bytes:
    """The document. Raises NotFound where the VM's shielding data asked for none."""
    document = bytes(vm.recovery_key)
    if not document:
        raise NotFound(
            "no-recovery-key",
            "There is no recovery key of this VM.",
            "Shielding data asks for one when it is made (gf pdk new); for this VM it is too late.",
        )
    return document
