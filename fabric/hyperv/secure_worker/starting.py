"""Makes a VM ready to start: rolls its key, wraps the virtual TPM's key anew, and starts the virtual TPM.

Where no HGS answers, the key that was kept with the permission of HGS opens the state as it is; nothing is rolled.
"""

from __future__ import annotations

import os

from fabric.hyperv import offline_key, protector_change, vm_folder, vm_state, vtpm
from fabric.hyperv.errors import HostError
from fabric.hyperv.secure_worker.orders import Progress, Release, StartOrder
from fabric.hyperv.secure_worker.release import HgsAway, asked, roll
from fabric.hyperv.state import write_whole
from fabric.hyperv.vm_state import VmState
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.protector import check_transport_key, verify_protector
from hgs.keyprotection.release import Released
from hgs.keyprotection.secret import Secret


def start(order: StartOrder, release: Release, progress: Progress) -> dict[str, object]:
    """Carry out the order. The new state is on disk before the old one is gone, and before anything runs.

    The result says how many starts without HGS are left, if this was one: {"offline_starts_left": n}; and why HGS's
    permission for such starts could not be kept: {"offline_key_not_kept": sentence}.
    """
    progress("boot", 0, f"Asking {asked(order)} for the VM's key")
    state = vm_state.parse_vm_state((order.folder / vm_folder.STATE).read_bytes())
    if state.vm_id != order.vm_id:
        raise HostError("vm-state-other", "The folder holds the protected state of another VM.")
    result: dict[str, object] = {}
    try:
        released = roll(state.protector, order, release)
    except HgsAway:
        vtpm_key, left = _open_offline(order, state)
        progress("boot", 10, f"HGS does not answer; the VM starts with the key kept for that ({left} more times)")
        result["offline_starts_left"] = left
    else:
        vtpm_key = _write_rolled(order, state, released)
        if trouble := _keep_offline(order, released):
            progress("boot", 10, f"The VM will not start while HGS is away, for its key cannot be kept: {trouble}")
            result["offline_key_not_kept"] = trouble
    if order.launch:
        run = order.folder / vm_folder.RUN
        vtpm.launch(order.folder / vm_folder.VTPM, vtpm_key, run / vm_folder.TPM_SOCKET, run / vm_folder.TPM_PID)
    return result


def _write_rolled(order: StartOrder, state: VmState, released: Released) -> Secret:
    """Write the state under its new key; gives the virtual TPM's key."""
    vtpm_key = state.open_vtpm_key(released.ingress)
    rolled = vm_state.protect(order.vm_id, released.egress_protector, released.egress, vtpm_key, os.urandom)
    # Before the state is replaced: a key kept for it would not fit the new one.
    offline_key.forget(order.folder, order.tpm)
    write_whole(order.folder / vm_folder.STATE, rolled.serialise())
    protector_change.forget_previous(order.folder)
    return vtpm_key


def _keep_offline(order: StartOrder, released: Released) -> str:
    """Keep the key if HGS permits starts without it; gives why that is not possible, which must not end a start."""
    if released.offline_unwraps:
        try:
            offline_key.keep(order.folder, order.vm_id, released.egress, released.offline_unwraps, order.tpm)
        except HostError as error:
            return error.message
    return ""


def _open_offline(order: StartOrder, state: VmState) -> tuple[Secret, int]:
    key, left = offline_key.use(order.folder, order.vm_id, order.tpm)
    try:
        check_transport_key(verify_protector(state.protector), key)
    except KeyProtectionError:
        raise HostError(
            "offline-not-allowed",
            "No Host Guardian Service answers, and the key kept for that is not the one of the VM's present state.",
            "Bring HGS back; the next start with it keeps a new key if HGS permits.",
        ) from None
    return state.open_vtpm_key(key), left
