"""Provisioning through a real secure worker and a real TPM, up to the guest's boot."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fabric.disks.catalog import Role
from fabric.disks.errors import DiskChanged
from fabric.disks.reading import open_disk
from fabric.hyperv import sector_cipher, vm_folder, vm_state
from fabric.hyperv.errors import HostError
from fabric.hyperv.secure_worker import provisioning
from fabric.hyperv.secure_worker.client import SecureWorkerFailed
from fabric.hyperv.secure_worker.disk_plan import plan_disk
from fabric.hyperv.secure_worker.verified_volume import VerifiedVolume
from fabric.hyperv.spec import VmSpec
from fabric.hyperv.virtual_machines import VirtualMachines
from fabric.publishing.signing import read_partition_table
from hgs.keyprotection.secret import Secret

pytestmark = pytest.mark.tpm


def quiet(step: str, percent: int, message: str) -> None:
    """Progress nobody listens to."""


@pytest.fixture
def machines(host: Any, tmp_path: Path) -> VirtualMachines:
    made: VirtualMachines = host.machines(tmp_path / "vms", "dry")
    return made


@pytest.fixture
def provision(
    machines: VirtualMachines, host: Any, tenant: Any, small_template: Any, tmp_path: Path
) -> Callable[..., Any]:
    def run(spec: VmSpec, template: Path | None = None, pdk: Path | None = None, progress: Any = quiet) -> Any:
        shielding = pdk or tenant.pdk(tmp_path / "web.pdk", small_template.signed)
        disk = template or small_template.vhdx
        return machines.provision(spec, host.certificate, disk, small_template.catalog, shielding, progress)

    return run


def test_a_vm_is_made_step_by_step(provision: Callable[..., Any], spec: VmSpec, small_template: Any) -> None:
    steps: list[str] = []
    made = provision(spec, progress=lambda step, _percent, _message: steps.append(step))
    assert list(dict.fromkeys(steps)) == [
        "release-keys", "open-shielding-data", "seal", "verify-template", "specialise", "encrypt",
    ]  # fmt: skip
    assert made.facts["policy"] == "Shielded"
    assert made.facts["disk_name"] == "Guarded Linux"
    assert made.facts["signer"] == small_template.signed.signer_fingerprint.hex()


def test_the_host_key_shown_is_the_one_of_the_shielding_data(
    provision: Callable[..., Any], spec: VmSpec, tenant: Any, tmp_path: Path
) -> None:
    from tests.fabric.hyperv.secure_worker.conftest import public_line

    made = provision(spec)
    (tmp_path / "key.pub").write_bytes(public_line(tenant.host_key))
    shown = subprocess.run(["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True)
    assert made.facts["ssh_host_key"] == shown.stdout.split()[1]


def test_no_secret_and_no_plaintext_volume_is_on_disk(
    provision: Callable[..., Any], machines: VirtualMachines, spec: VmSpec, tmp_path: Path
) -> None:
    from tests.fabric.hyperv.secure_worker.conftest import CANARY

    provision(spec)
    for path in (tmp_path / "vms").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert CANARY not in data
            assert b"OPENSSH PRIVATE KEY" not in data
    disk = (tmp_path / "vms" / spec.id / vm_folder.DISK).read_bytes()
    assert b"lost+found" not in disk
    assert list((tmp_path / "vms").glob(".making*")) == []


def test_the_vms_disk_has_its_own_partition_table_and_a_luks2_volume(
    provision: Callable[..., Any], spec: VmSpec, small_template: Any, tmp_path: Path
) -> None:
    provision(spec)
    disk = tmp_path / "vms" / spec.id / vm_folder.DISK
    table, original = read_partition_table(disk), read_partition_table(small_template.raw)
    assert table.disk_id != original.disk_id
    assert table.partitions[1].length == original.partitions[1].length + 16 * 1024 * 1024
    with disk.open("rb") as stream:
        stream.seek(table.partitions[1].offset)
        assert stream.read(8) == b"LUKS\xba\xbe\x00\x02"
        stream.seek(table.partitions[0].offset)
        with small_template.raw.open("rb") as other:
            other.seek(original.partitions[0].offset)
            assert stream.read(table.partitions[0].length) == other.read(original.partitions[0].length)


@pytest.mark.parametrize(
    ("role", "named"),
    [
        (Role.PARTITION_TABLE, "partition table"),
        (Role.EFI_SYSTEM, "EFI system partition"),
        (Role.OPERATING_SYSTEM, "operating system partition"),
        (Role.BACKUP_PARTITION_TABLE, "backup partition table"),
    ],
)
def test_one_flipped_byte_is_refused_by_name_and_leaves_nothing(
    provision: Callable[..., Any], spec: VmSpec, small_template: Any, tmp_path: Path, role: Role, named: str
) -> None:
    copy = tmp_path / "tampered.raw"
    shutil.copy(small_template.raw, copy)
    volume = small_template.signed.catalog.volume(role)
    position = volume.offset + volume.length // 2
    with copy.open("r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(SecureWorkerFailed, match=f"its {named} differs in bytes") as caught:
        provision(spec, template=copy)
    assert caught.value.code == "disk-changed"
    assert [path.name for path in (tmp_path / "vms").iterdir() if path.is_dir()] == []


def test_a_cut_off_template_is_refused(
    provision: Callable[..., Any], spec: VmSpec, small_template: Any, tmp_path: Path
) -> None:
    copy = tmp_path / "short.raw"
    copy.write_bytes(small_template.raw.read_bytes()[: -1024 * 1024])
    with pytest.raises(SecureWorkerFailed) as caught:
        provision(spec, template=copy)
    assert caught.value.code == "disk-changed"


@pytest.mark.parametrize(("name", "version"), [("Other Linux", "1.0.0.0"), ("Guarded Linux", "2.0.0.0")])
def test_a_template_the_owner_does_not_trust_is_refused_before_keys_are_asked_for(
    host: Any, tenant: Any, small_template: Any, spec: VmSpec, tmp_path: Path, name: str, version: str
) -> None:
    asked: list[bytes] = []
    machines = VirtualMachines(
        tmp_path / "vms", host.access, lambda _vm: lambda request: asked.append(request) or b"", "dry"
    )
    pdk = tenant.pdk(tmp_path / "web.pdk", small_template.signed, name, version)
    with pytest.raises(SecureWorkerFailed, match="does not trust") as caught:
        machines.provision(spec, host.certificate, small_template.raw, small_template.catalog, pdk, quiet)
    assert caught.value.code.startswith("template-not-trusted")
    assert asked == []


def test_a_missing_specialization_value_is_named(provision: Callable[..., Any], spec: VmSpec) -> None:
    values = {key: value for key, value in spec.specialization.items() if key != "@TimeZone@"}
    with pytest.raises(SecureWorkerFailed, match="@TimeZone@"):
        provision(replace(spec, specialization=values))


def test_a_specialization_value_cannot_break_out_of_its_line(provision: Callable[..., Any], spec: VmSpec) -> None:
    values = {**spec.specialization, "@ComputerName@": 'x"\nGF_ROOT_PASSWORD_HASH="'}
    with pytest.raises(SecureWorkerFailed, match="@ComputerName@"):
        provision(replace(spec, specialization=values))


def test_what_is_not_shielding_data_is_told_so(provision: Callable[..., Any], spec: VmSpec, tmp_path: Path) -> None:
    (tmp_path / "noise.pdk").write_bytes(b"hello")
    with pytest.raises(SecureWorkerFailed):
        provision(spec, pdk=tmp_path / "noise.pdk")


def test_a_refusal_by_hgs_passes_through_and_leaves_nothing(
    host: Any, tenant: Any, small_template: Any, spec: VmSpec, tmp_path: Path
) -> None:
    def refuse(_request: bytes) -> bytes:
        raise HostError("HealthCertificateException", "The health certificate has expired.")

    machines = VirtualMachines(tmp_path / "vms", host.access, lambda _vm: refuse, "dry")
    pdk = tenant.pdk(tmp_path / "web.pdk", small_template.signed)
    with pytest.raises(HostError, match="has expired"):
        machines.provision(spec, host.certificate, small_template.raw, small_template.catalog, pdk, quiet)
    assert [path for path in (tmp_path / "vms").iterdir() if path.is_dir()] == []


def test_an_existing_vm_is_not_overwritten(provision: Callable[..., Any], spec: VmSpec) -> None:
    provision(spec)
    with pytest.raises(HostError, match="exists"):
        provision(spec)


def test_each_start_rolls_the_key_and_keeps_the_virtual_tpm(
    provision: Callable[..., Any], machines: VirtualMachines, host: Any, spec: VmSpec, tmp_path: Path
) -> None:
    provision(spec)
    path = tmp_path / "vms" / spec.id / vm_folder.STATE
    seen = {path.read_bytes()}
    for _ in range(2):
        beat = machines.start(spec.id, host.certificate, quiet)
        assert beat["dry"] is True
        assert machines.list() == {spec.id: "running"}
        machines.stop(spec.id)
        seen.add(path.read_bytes())
    assert len(seen) == 3
    machines.remove(spec.id)
    assert machines.list() == {}


def test_state_under_an_old_protector_still_opens(
    provision: Callable[..., Any], machines: VirtualMachines, host: Any, spec: VmSpec, tmp_path: Path
) -> None:
    """A crash after the key was rolled but before the new state was written loses nothing."""
    provision(spec)
    path = tmp_path / "vms" / spec.id / vm_folder.STATE
    before = path.read_bytes()
    machines.start(spec.id, host.certificate, quiet)
    machines.stop(spec.id)
    path.write_bytes(before)
    assert machines.start(spec.id, host.certificate, quiet)["state"] == "running"


def test_the_state_of_another_vm_is_refused(
    provision: Callable[..., Any], machines: VirtualMachines, host: Any, spec: VmSpec, tmp_path: Path
) -> None:
    provision(spec)
    path = tmp_path / "vms" / spec.id / vm_folder.STATE
    state = vm_state.parse_vm_state(path.read_bytes())
    path.write_bytes(replace(state, vm_id="00000000-0000-4000-8000-000000000000").serialise())
    with pytest.raises(SecureWorkerFailed, match="another VM"):
        machines.start(spec.id, host.certificate, quiet)


def test_a_watcher_hears_dry_heartbeats_and_changes_of_state(
    provision: Callable[..., Any], machines: VirtualMachines, host: Any, spec: VmSpec
) -> None:
    provision(spec)
    beats: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
    states: queue.Queue[tuple[str, str]] = queue.Queue()
    end = threading.Event()

    def heard(vm_id: str, beat: dict[str, Any]) -> None:
        beats.put((vm_id, beat))

    def changed(vm_id: str, state: str) -> None:
        states.put((vm_id, state))

    watcher = threading.Thread(target=machines.watch, args=(heard, changed, end, 0.05))
    watcher.start()
    try:
        machines.start(spec.id, host.certificate, quiet)
        assert states.get(timeout=10) == (spec.id, "running")
        vm_id, beat = beats.get(timeout=10)
        assert (vm_id, beat["computer_name"], beat["dry"]) == (spec.id, "web01", True)
        machines.stop(spec.id)
        assert states.get(timeout=10) == (spec.id, "stopped")
    finally:
        end.set()
        watcher.join(timeout=10)


def test_recovery_removes_what_was_half_made(machines: VirtualMachines, tmp_path: Path) -> None:
    for name in (".making-00000000-0000-4000-8000-000000000000-x", ".removing-00000000-0000-4000-8000-000000000000"):
        (tmp_path / "vms" / name / "run").mkdir(parents=True)
    machines.recover()
    assert list((tmp_path / "vms").iterdir()) == []


def test_the_payload_is_what_dm_crypt_expects() -> None:
    """aes-xts-plain64 with 4096-byte sectors: the tweak counts units of 512 bytes."""
    key = Secret(os.urandom(64))
    plain = os.urandom(3 * 4096)
    payload = bytearray(len(plain) + sector_cipher.SPARE)
    sector_cipher.sector_cipher(key).encrypt(0, memoryview(plain), memoryview(payload))
    tweak = (16).to_bytes(16, "little")
    sector = Cipher(algorithms.AES(key.reveal()), modes.XTS(tweak)).decryptor().update(payload[8192:12288])
    assert sector == plain[8192:]


def test_the_key_is_sealed_to_the_verified_boot_program_whatever_lies_on_the_hosts_disk(
    small_template: Any, tmp_path: Path
) -> None:
    """Somebody on the host who changes a file between its hash and its use gets nothing sealed to his own program."""
    volume = small_template.signed.catalog.volume(Role.EFI_SYSTEM)
    copy = tmp_path / "template.raw"
    shutil.copy(small_template.raw, copy)
    with open_disk(copy) as disk:
        program = provisioning._boot_program(VerifiedVolume(disk, volume))
        assert program.contents(".linux") == b"no kernel"
        subprocess.run(
            ["mcopy", "-o", "-i", f"{copy}@@{volume.offset}", "/dev/null", "::/EFI/BOOT/BOOTX64.EFI"], check=True
        )
        with pytest.raises(DiskChanged, match="EFI system partition"):
            provisioning._boot_program(VerifiedVolume(disk, volume))


def test_a_host_without_room_says_so_before_it_writes(small_template: Any, tmp_path: Path) -> None:
    with open_disk(small_template.raw) as disk:
        plan = plan_disk(disk, small_template.signed, uuid.uuid4)
    huge = replace(plan, table=replace(plan.table, sectors=2**42))
    with (tmp_path / "disk").open("x+b") as target, pytest.raises(HostError) as caught:
        huge.write_frame(target.fileno())
    assert caught.value.code == "disk-full"
    assert (tmp_path / "disk").stat().st_size == 0
