"""What comes from outside a host's VM code: specifications, state files, heartbeats, QMP commands."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.hyperv.errors import HostError
from fabric.hyperv.heartbeat import parse_beat
from fabric.hyperv.qmp import ALLOWED, Qmp, QmpRefused
from fabric.hyperv.spec import GuestNetwork, SpecError, VmSpec
from fabric.hyperv.vm_state import VmState, parse_vm_state, protect
from hgs.keyprotection import algorithms
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.guardian import create_guardian_keys
from hgs.keyprotection.protector import check_transport_key, new_protector, serialise_protector, verify_protector
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey

VM_ID = "6f0a1d0e-7a55-4c43-9d3b-0d8f3e6a2b11"
NETWORK = GuestNetwork("10.20.0.0/24", "10.20.0.10", "10.20.0.1", "10.20.0.3")
SPEC = VmSpec(VM_ID, "web01", 1, 256, {"@ComputerName@": "web01"}, NETWORK, 22022, "0" * 64, "1" * 64, "2" * 64)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
)


def test_a_specification_survives_the_broker() -> None:
    assert VmSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


@given(st.sampled_from(sorted(SPEC.to_json())), JSON)
def test_a_specification_with_another_value_is_read_strictly_or_refused(name: str, value: Any) -> None:
    changed = {**SPEC.to_json(), name: value}
    try:
        assert VmSpec.from_json(changed).to_json() == changed
    except SpecError:
        return


@given(JSON)
def test_other_json_is_no_specification(value: Any) -> None:
    with pytest.raises(SpecError):
        VmSpec.from_json(value)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../etc"}, {"name": "a,b"}, {"name": "-x"}, {"vcpus": 0}, {"vcpus": 1000}, {"memory_mib": 1},
        {"access_port": 22}, {"pdk_sha256": "A" * 64}, {"specialization": {"ComputerName": "x"}},
    ],
)  # fmt: skip
def test_values_that_could_do_harm_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        replace(SPEC, **change)


@pytest.mark.parametrize(
    ("cidr", "address", "gateway"),
    [
        ("10.20.0.0/24", "10.20.1.10", "10.20.0.1"), ("10.20.0.0/24", "10.20.0.0", "10.20.0.1"),
        ("10.20.0.0/24", "10.20.0.1", "10.20.0.1"), ("10.0.0.0/8", "10.0.0.5", "10.0.0.1"),
        ("10.20.0.1/24", "10.20.0.10", "10.20.0.1"), ("10.20.0.0/24,hostfwd=x", "10.20.0.10", "10.20.0.1"),
    ],
)  # fmt: skip
def test_a_network_that_does_not_fit_together_is_refused(cidr: str, address: str, gateway: str) -> None:
    with pytest.raises(SpecError):
        GuestNetwork(cidr, address, gateway, "10.20.0.3")


@pytest.fixture(scope="module")
def state() -> tuple[VmState, TransportKey]:
    now = datetime.now(UTC)
    owner, guardian = (create_guardian_keys(name, now, key_size=2048) for name in ("Owner", "HGS"))
    protector, key = new_protector(owner, [guardian.guardian], os.urandom)
    return protect(VM_ID, protector, key, Secret(b"k" * 32), os.urandom), key


def test_protected_state_opens_with_its_own_key_alone(state: tuple[VmState, TransportKey]) -> None:
    document, key = state
    again = parse_vm_state(document.serialise())
    assert again == document
    assert again.open_vtpm_key(key).reveal() == b"k" * 32
    with pytest.raises(HostError, match="does not open it"):
        again.open_vtpm_key(TransportKey.generate(os.urandom))


def test_protected_state_is_bound_to_its_vm(state: tuple[VmState, TransportKey]) -> None:
    document, key = state
    with pytest.raises(HostError, match="does not open it"):
        replace(document, vm_id="00000000-0000-4000-8000-000000000000").open_vtpm_key(key)


@given(st.data())
def test_a_changed_state_file_is_refused_by_the_host_or_its_protector_by_everybody(
    state: tuple[VmState, TransportKey], data: st.DataObject
) -> None:
    document, key = state
    changed = bytearray(document.serialise())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = parse_vm_state(bytes(changed))
        assert read.open_vtpm_key(key).reveal() == b"k" * 32
    except HostError:
        return
    with pytest.raises(KeyProtectionError):
        check_transport_key(verify_protector(read.protector), key)


def first_version(document: VmState, key: TransportKey) -> VmState:
    """The same state as version 1 wrote it: bound to the one protector document."""
    digest = hashlib.sha256(serialise_protector(document.protector)).digest()
    context = b"guarded-fabric vm-state virtual-tpm-key\0" + VM_ID.encode() + b"\0" + digest
    sealed = algorithms.encrypt_content(key.derive("vm-state"), b"k" * 32, context, os.urandom)
    return VmState(VM_ID, document.protector, sealed, 1)


def test_protected_state_of_version_1_is_still_read(state: tuple[VmState, TransportKey]) -> None:
    document, key = state
    old = first_version(document, key).serialise()
    assert b'Version="1"' in old
    assert parse_vm_state(old).open_vtpm_key(key).reveal() == b"k" * 32
    with pytest.raises(HostError, match="does not open it"):
        parse_vm_state(old.replace(b'Version="1"', b'Version="2"')).open_vtpm_key(key)
    with pytest.raises(HostError, match="version that is not known"):
        parse_vm_state(old.replace(b'Version="1"', b'Version="3"'))


def test_another_protector_of_the_same_key_may_take_the_place_of_the_old_one(
    state: tuple[VmState, TransportKey],
) -> None:
    document, key = state
    other = replace(document, protector=replace(document.protector, max_offline_unwraps=3))
    assert parse_vm_state(other.serialise()).open_vtpm_key(key).reveal() == b"k" * 32
    with pytest.raises(HostError, match="does not open it"):
        replace(other, version=1).open_vtpm_key(key)


@given(st.binary(max_size=600))
def test_no_line_of_a_guest_breaks_the_host(line: bytes) -> None:
    assert parse_beat(line) is None or len(line) <= 512


@given(st.dictionaries(st.sampled_from(["beat", "state", "computer_name", "uptime", "x"]), JSON))
def test_only_the_documented_beat_passes(value: dict[str, Any]) -> None:
    beat = parse_beat(json.dumps(value).encode())
    assert beat is None or (beat["state"] in ("specialising", "running") and isinstance(beat["beat"], int))


def test_a_beat_of_the_documented_form_passes() -> None:
    line = b'{"beat": 3, "state": "running", "computer_name": "web01", "uptime": 12}'
    assert parse_beat(line) == {"beat": 3, "state": "running", "computer_name": "web01", "uptime": 12}


@pytest.mark.parametrize(
    "command", ["pmemsave", "dump-guest-memory", "human-monitor-command", "screendump", "migrate", "device_add"]
)
def test_commands_that_look_into_the_guest_never_reach_qemu(command: str) -> None:
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        with pytest.raises(QmpRefused):
            Qmp(ours).execute(command)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
    assert command not in ALLOWED
