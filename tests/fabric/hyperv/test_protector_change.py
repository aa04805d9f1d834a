"""The owner of a VM replaces its key protector; the host takes it without a key, and nobody else's."""

import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from fabric.hyperv import protector_change, vm_folder
from fabric.hyperv.errors import HostError
from fabric.hyperv.vm_state import VmState, parse_vm_state, protect
from hgs.keyprotection import algorithms
from hgs.keyprotection.guardian import GuardianKeys, create_guardian_keys
from hgs.keyprotection.ownership import grant, revoke
from hgs.keyprotection.protector import (
    Protector,
    TransportKey,
    new_protector,
    parse_protector,
    roll,
    serialise_protector,
    verify_protector,
)
from hgs.keyprotection.secret import Secret

VM_ID = "6f0a1d0e-7a55-4c43-9d3b-0d8f3e6a2b11"
VTPM_KEY = b"k" * 32


@cache
def keys(name: str) -> GuardianKeys:
    return create_guardian_keys(name, datetime.now(UTC), key_size=2048)


@pytest.fixture
def made() -> tuple[Protector, TransportKey]:
    """A protector as HGS leaves it: rolled and signed by HGS."""
    fresh, _key = new_protector(keys("Owner"), [keys("HGS").guardian], os.urandom)
    return roll(verify_protector(fresh), keys("HGS"), os.urandom)


@pytest.fixture
def folder(tmp_path: Path, made: tuple[Protector, TransportKey]) -> Path:
    """The folder of a VM under that protector."""
    state = protect(VM_ID, *made, Secret(VTPM_KEY), os.urandom)
    (tmp_path / vm_folder.STATE).write_bytes(state.serialise())
    return tmp_path


def in_use(folder: Path) -> VmState:
    return parse_vm_state((folder / vm_folder.STATE).read_bytes())


def granted(document: bytes) -> bytes:
    """What the owner makes of an exported protector: the other HGS may open it as well."""
    changed = grant(verify_protector(parse_protector(document)), keys("Owner"), keys("New HGS").guardian)
    return serialise_protector(changed)


def refusal(folder: Path, document: bytes) -> str:
    before = (folder / vm_folder.STATE).read_bytes()
    with pytest.raises(HostError) as caught:
        protector_change.replace_protector(folder, document)
    assert (folder / vm_folder.STATE).read_bytes() == before
    assert not (folder / vm_folder.PREVIOUS_PROTECTOR).exists()
    return caught.value.code


def test_the_owners_grant_is_used_and_the_vms_key_stays(folder: Path, made: tuple[Protector, TransportKey]) -> None:
    exported = protector_change.current_protector(folder)
    assert exported == serialise_protector(made[0])
    document = granted(exported)
    digest = protector_change.replace_protector(folder, document)
    assert digest == hashlib.sha256(document).hexdigest()
    assert serialise_protector(in_use(folder).protector) == document
    assert in_use(folder).open_vtpm_key(made[1]).reveal() == VTPM_KEY


def test_the_owner_can_also_put_a_guardian_out(folder: Path) -> None:
    both = granted(protector_change.current_protector(folder))
    protector_change.replace_protector(folder, both)
    without = revoke(verify_protector(parse_protector(both)), keys("Owner"), keys("HGS").guardian.fingerprint)
    protector_change.replace_protector(folder, serialise_protector(without))
    assert len(in_use(folder).protector.wrappings) == 2


def test_a_protector_with_the_length_before_it_is_taken(folder: Path) -> None:
    document = granted(protector_change.current_protector(folder))
    protector_change.replace_protector(folder, (len(document) + 4).to_bytes(4) + document)
    assert serialise_protector(in_use(folder).protector) == document


def test_a_protector_from_before_the_last_start_is_outdated(folder: Path, made: tuple[Protector, TransportKey]) -> None:
    document = granted(protector_change.current_protector(folder))
    rolled, key = roll(verify_protector(made[0]), keys("HGS"), os.urandom)
    (folder / vm_folder.STATE).write_bytes(protect(VM_ID, rolled, key, Secret(VTPM_KEY), os.urandom).serialise())
    assert refusal(folder, document) == "protector-outdated"


def test_a_protector_of_another_vm_of_the_owner_is_refused(folder: Path) -> None:
    other, _key = new_protector(keys("Owner"), [keys("HGS").guardian], os.urandom)
    assert refusal(folder, serialise_protector(other)) == "protector-outdated"


def test_a_protector_of_another_owner_is_refused(folder: Path) -> None:
    other, _key = new_protector(keys("Stranger"), [keys("HGS").guardian], os.urandom)
    assert refusal(folder, serialise_protector(other)) == "protector-other-owner"


def test_a_protector_that_a_guardian_signed_is_refused(folder: Path, made: tuple[Protector, TransportKey]) -> None:
    assert refusal(folder, serialise_protector(made[0])) == "protector-not-by-owner"


def test_a_wrapping_mixed_in_from_another_protector_is_refused(folder: Path) -> None:
    document = parse_protector(granted(protector_change.current_protector(folder)))
    foreign, _key = new_protector(keys("Owner"), [keys("Stranger").guardian], os.urandom)
    mixed = replace(document, wrappings=(*document.wrappings[:2], replace(foreign.wrappings[1], id=7)))
    assert refusal(folder, serialise_protector(mixed)) == "protector-invalid"


@pytest.mark.parametrize("document", [b"", b"<Protector/>", b"\xff" * 40])
def test_what_is_no_protector_is_refused(folder: Path, document: bytes) -> None:
    assert refusal(folder, document) == "protector-invalid"


def test_a_state_of_version_1_is_left_alone(folder: Path, made: tuple[Protector, TransportKey]) -> None:
    sealed = algorithms.encrypt_content(made[1].derive("vm-state"), VTPM_KEY, b"version 1", os.urandom)
    (folder / vm_folder.STATE).write_bytes(VmState(VM_ID, made[0], sealed, 1).serialise())
    assert refusal(folder, granted(protector_change.current_protector(folder))) == "vm-state-old"


def test_the_last_protector_can_be_put_back_once(folder: Path, made: tuple[Protector, TransportKey]) -> None:
    protector_change.replace_protector(folder, granted(protector_change.current_protector(folder)))
    protector_change.restore_protector(folder)
    assert in_use(folder).protector == made[0]
    with pytest.raises(HostError, match="no earlier protector"):
        protector_change.restore_protector(folder)


def test_replacing_by_the_same_protector_keeps_the_one_to_go_back_to(
    folder: Path, made: tuple[Protector, TransportKey]
) -> None:
    document = granted(protector_change.current_protector(folder))
    protector_change.replace_protector(folder, document)
    protector_change.replace_protector(folder, document)
    protector_change.restore_protector(folder)
    assert in_use(folder).protector == made[0]


def test_a_last_protector_of_another_key_is_not_put_back(folder: Path) -> None:
    protector_change.replace_protector(folder, granted(protector_change.current_protector(folder)))
    other, _key = new_protector(keys("Owner"), [keys("HGS").guardian], os.urandom)
    (folder / vm_folder.PREVIOUS_PROTECTOR).write_bytes(serialise_protector(other))
    with pytest.raises(HostError) as caught:
        protector_change.restore_protector(folder)
    assert caught.value.code == "protector-outdated"


def test_a_vm_that_is_not_here_has_no_protector(tmp_path: Path) -> None:
    for work in (protector_change.current_protector, protector_change.restore_protector):
        with pytest.raises(HostError) as caught:
            work(tmp_path / "none")
        assert caught.value.code == "vm-unknown"
