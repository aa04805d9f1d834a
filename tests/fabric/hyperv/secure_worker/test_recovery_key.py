"""A disk has a second passphrase for its owner, if the shielding data asks for one; nobody else can read it."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fabric.disks import gpt
from fabric.hyperv import luks, vm_folder
from fabric.hyperv.spec import VmSpec
from fabric.publishing.signing import read_partition_table
from fabric.shielding.answerfile import default_linux_answer_file
from fabric.shielding.content import ShieldingSecrets
from fabric.shielding.pdk import Policy, parse_pdk, write_pdk
from fabric.shielding.pdk_form import RecoveryKey
from fabric.shielding.recovery import open_escrow, parse_escrow
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection.ownership import open_as_owner
from hgs.keyprotection.secret import Secret
from tests.fabric.hyperv.secure_worker.conftest import quiet

pytestmark = pytest.mark.tpm


@pytest.fixture
def made(host: Any, tenant: Any, small_template: Any, spec: VmSpec, tmp_path: Path) -> Callable[[RecoveryKey], Any]:
    def make(wish: RecoveryKey) -> tuple[Path, dict[str, Any], bytes]:
        signed = small_template.signed
        qualifier = VolumeIdQualifier("Guarded Linux", signed.signer_fingerprint, "1.0.0.0", VersionRule.EQUALS)
        secrets = ShieldingSecrets(Secret(default_linux_answer_file("$6$saltsalt$" + "a" * 86).encode()))
        guardians = [tenant.guardian.guardian]
        data = write_pdk(tenant.owner, guardians, Policy.SHIELDED, [qualifier], secrets, os.urandom, recovery_key=wish)
        (tmp_path / "web.pdk").write_bytes(data)
        machines = host.machines(tmp_path / "vms", "dry")
        result = machines.provision(
            spec, host.certificate, small_template.vhdx, small_template.catalog, tmp_path / "web.pdk", quiet
        )
        return tmp_path / "vms" / spec.id, result.facts, data

    return make


def opens(folder: Path, passphrase: bytes) -> bool:
    """Whether a key slot of the VM's disk opens with it."""
    table = read_partition_table(folder / vm_folder.DISK)
    system = next(item for item in table.partitions if item.type_id != gpt.EFI_SYSTEM)
    volume = folder.parent / "volume"
    with (folder / vm_folder.DISK).open("rb") as stream:
        stream.seek(system.offset)
        volume.write_bytes(stream.read(luks.HEADER_LENGTH + 1024 * 1024))
    command = ["/usr/sbin/cryptsetup", "open", "--test-passphrase", "--disable-locks", "--key-file", "-", str(volume)]
    return subprocess.run(command, input=passphrase, capture_output=True, check=False).returncode == 0


def test_the_owner_opens_the_disk_without_its_virtual_tpm(
    made: Callable[[RecoveryKey], Any], tenant: Any, spec: VmSpec
) -> None:
    folder, facts, data = made(RecoveryKey.ESCROW)
    document = (folder / vm_folder.RECOVERY_KEY).read_bytes()
    pdk, found = parse_pdk(data), parse_escrow(document)
    assert found.vm_id == uuid.UUID(spec.id)
    key = open_escrow(found, pdk, open_as_owner(pdk.protector, tenant.owner))
    assert opens(folder, key.reveal())
    assert not opens(folder, bytes(32))
    assert facts["recovery_key"]
    for path in folder.rglob("*"):
        assert not path.is_file() or key.reveal() not in path.read_bytes()


def test_who_wants_none_gets_none(made: Callable[[RecoveryKey], Any]) -> None:
    folder, facts, _ = made(RecoveryKey.NONE)
    assert not (folder / vm_folder.RECOVERY_KEY).exists()
    assert "recovery_key" not in facts
    header = subprocess.run(
        ["/usr/sbin/cryptsetup", "luksDump", "--disable-locks", _header(folder)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert header.count("  0: luks2") == 1
    assert "  1: luks2" not in header


def _header(folder: Path) -> Path:
    opens(folder, b"")
    return folder.parent / "volume"
