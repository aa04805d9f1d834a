"""A VM's key protector in its owner's hands: given out, replaced by another one for the same transport key, put back.

The owner grants or revokes a guardian's access offline. The host needs no key for the exchange: what shows that a
protector was made for the transport key in use is the owner's own wrapping, which must be the same octets as before.
The VM may be running; its next start asks HGS with the new protector.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fabric.hyperv import vm_folder
from fabric.hyperv.errors import HostError
from fabric.hyperv.state import write_whole
from fabric.hyperv.vm_state import VmState, parse_vm_state
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.protector import (
    VerifiedProtector,
    import_protector,
    serialise_protector,
    verify_protector,
)


def current_protector(folder: Path) -> bytes:
    """The protector document in use. Raises `HostError`."""
    return serialise_protector(_state(folder).protector)


def replace_protector(folder: Path, document: bytes, before: Callable[[], None] = lambda: None) -> str:
    """Use the owner's new protector from the next start on; gives the SHA-256 of the document in use from now on.

    The old one is kept as the last known good. `before` is called once it is certain that the new one will be used,
    and before anything of it is written: a crash must not leave what `before` ends beside the new protector. Raises
    `HostError` and changes nothing unless the owner of the VM made the new protector for the transport key in use.
    """
    state = _state(folder)
    if state.version == 1:
        raise HostError(
            "vm-state-old",
            "The VM's state was written by an older version, which ties it to one protector.",
            "Start the VM once, export its protector again, and let the owner work on that one.",
        )
    new = _verified(document)
    _check_change(verify_protector(state.protector), new)
    before()
    old = serialise_protector(state.protector)
    if old != serialise_protector(new.protector):
        write_whole(folder / vm_folder.PREVIOUS_PROTECTOR, old)
        _write(folder, replace(state, protector=new.protector))
    return _sha256(serialise_protector(new.protector))


def restore_protector(folder: Path) -> str:
    """Go back to the protector from before the last replacement; gives its SHA-256. Raises `HostError`."""
    state, path = _state(folder), folder / vm_folder.PREVIOUS_PROTECTOR
    try:
        previous = _verified(path.read_bytes())
    except FileNotFoundError:
        raise HostError(
            "no-previous-protector",
            "There is no earlier protector to go back to.",
            "One is kept from a replacement until the VM has started with the new one.",
        ) from None
    _check_change(verify_protector(state.protector), previous, by_owner=False)
    _write(folder, replace(state, protector=previous.protector))
    path.unlink()
    return _sha256(serialise_protector(previous.protector))


def forget_previous(folder: Path) -> None:
    """The VM has a new transport key: an earlier protector opens nothing of it any more."""
    (folder / vm_folder.PREVIOUS_PROTECTOR).unlink(missing_ok=True)


def _verified(document: bytes) -> VerifiedProtector:
    try:
        return verify_protector(import_protector(document))
    except KeyProtectionError as error:
        raise HostError("protector-invalid", f"This is no valid key protector: {error.message}", error.advice) from None


def _check_change(old: VerifiedProtector, new: VerifiedProtector, *, by_owner: bool = True) -> None:
    if new.owner_fingerprint != old.owner_fingerprint:
        raise HostError(
            "protector-other-owner",
            "This protector belongs to another owner than the VM.",
            "Use the owner guardian that the VM was made with.",
        )
    if new.owner != old.owner:
        raise HostError(
            "protector-outdated",
            "The VM was started since this protector was exported, or it is the protector of another VM.",
            "Export the protector again and let the owner work on that one.",
        )
    if by_owner and not new.signer.is_owner:
        raise HostError(
            "protector-not-by-owner",
            "The owner did not sign this protector.",
            "Make it with the owner guardian: gf key-protector grant or revoke.",
        )


def _state(folder: Path) -> VmState:
    try:
        return parse_vm_state((folder / vm_folder.STATE).read_bytes())
    except FileNotFoundError:
        raise HostError("vm-unknown", "This host does not have that VM.", "It may have been removed.") from None


def _write(folder: Path, state: VmState) -> None:
    write_whole(folder / vm_folder.STATE, state.serialise())


def _sha256(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()
