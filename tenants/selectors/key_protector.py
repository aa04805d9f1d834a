"""What is kept of a VM's key protector while its owner changes it."""

from portal.kernel.errors import Conflict, NotFound
from tenants.models import VirtualMachine, VmKeyProtector


def protector_of(vm: VirtualMachine) -> VmKeyProtector | None:
    """What is kept of a VM's key protector, if anything is."""
    return getattr(vm, "key_protector", None)


def fetched_protector(vm: VirtualMachine) -> VmKeyProtector:
    """The protector that was fetched last, with its document. The VM is one that the actor may see.

    Raises `NotFound` (`protector-not-fetched`), `Conflict` (`protector-busy`, or what the last job failed with).
    """
    kept = protector_of(vm)
    if kept is None or not (kept.document or kept.under_way or kept.problem):
        raise NotFound(
            "protector-not-fetched",
            f"The key protector of {vm.name} is not here: it was not fetched since the VM was started or its key "
            "protector replaced.",
            "Ask its host for it first.",
        )
    if kept.under_way:
        raise Conflict("protector-busy", "Its host is at work on its key protector.", "Wait until that is done.")
    if not kept.document:
        problem = kept.problem
        raise Conflict(str(problem["code"]), str(problem["message"]), str(problem["advice"]))
    return kept
