"""Makes a VM ready to start: rolls its key, wraps the virtual TPM's key anew, and starts the virtual TPM."""

from __future__ import annotations

import os

from fabric.hyperv import vm_folder, vm_state, vtpm
from fabric.hyperv.errors import HostError
from fabric.hyperv.secure_worker.orders import Progress, Release, StartOrder
from fabric.hyperv.secure_worker.release import roll
from fabric.hyperv.state import write_whole


def start(order: StartOrder, release: Release, progress: Progress) -> dict[str, object]:
    """Carry out the order. The new state is on disk before the old one is gone, and before anything runs."""
    progress("boot", 0, "Asking the Host Guardian Service for the VM's key")
    path = order.folder / vm_folder.STATE
    state = vm_state.parse_vm_state(path.read_bytes())
    if state.vm_id != order.vm_id:
        raise HostError("vm-state-other", "The folder holds the protected state of another VM.")
    released = roll(state.protector, order.health_certificate, order.tpm, release)
    vtpm_key = state.open_vtpm_key(released.ingress)
    rolled = vm_state.protect(order.vm_id, released.egress_protector, released.egress, vtpm_key, os.urandom)
    write_whole(path, rolled.serialise())
    if order.launch:
        run = order.folder / vm_folder.RUN
        vtpm.launch(order.folder / vm_folder.VTPM, vtpm_key, run / vm_folder.TPM_SOCKET, run / vm_folder.TPM_PID)
    return {}
