"""One shielded VM, really booted: it unlocks itself, answers with the owner's host key, and shows its host nothing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fabric.hyperv import qmp, secure_boot, vm_folder
from fabric.hyperv.errors import HostError
from fabric.hyperv.spec import VmSpec
from fabric.hyperv.virtual_machines import VirtualMachines
from tests.fabric.hyperv.secure_worker.conftest import CANARY, new_spec, open_ssh, public_line, quiet

pytestmark = pytest.mark.vm


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def machines(host: Any, tmp_path_factory: pytest.TempPathFactory) -> VirtualMachines:
    made: VirtualMachines = host.machines(tmp_path_factory.mktemp("vm") / "vms", "qemu")
    return made


@pytest.fixture(scope="module")
def provisioned(
    machines: VirtualMachines, host: Any, tenant: Any, real_template: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VmSpec]:
    spec = new_spec(free_port())
    pdk = tenant.pdk(tmp_path_factory.mktemp("pdk") / "web.pdk", real_template.signed)
    machines.provision(spec, host.certificate, real_template.vhdx, real_template.catalog, pdk, quiet)
    yield spec
    machines.remove(spec.id)


def ssh(spec: VmSpec, folder: Path, *options: str, command: str = "true") -> subprocess.CompletedProcess[str]:
    base = ["ssh", "-F", "none", "-p", str(spec.access_port), "-o", "ConnectTimeout=20", "-o", "BatchMode=yes"]
    known = ["-o", f"UserKnownHostsFile={folder / 'known_hosts'}", "-o", "StrictHostKeyChecking=yes"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    arguments = [*base, *known, *options, "root@127.0.0.1", command]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_a_shielded_vm_boots_by_itself_and_belongs_to_its_owner(
    machines: VirtualMachines, provisioned: VmSpec, host: Any, tenant: Any, tmp_path: Path
) -> None:
    spec = provisioned
    beat = machines.start(spec.id, host.certificate, quiet)
    try:
        assert (beat["state"], beat["computer_name"]) == ("running", "web01")
        assert machines.list() == {spec.id: "running"}
        host_key = public_line(tenant.host_key).decode()
        (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{spec.access_port} {host_key}\n")
        (tmp_path / "id").touch(mode=0o600)
        (tmp_path / "id").write_bytes(open_ssh(tenant.user_key))

        seen = ssh(spec, tmp_path, "-i", str(tmp_path / "id"), command="hostname; cat /etc/guarded/files/canary.txt")
        assert seen.stdout == f"web01\n{CANARY.decode()}", seen.stderr
        left = ssh(spec, tmp_path, "-i", str(tmp_path / "id"), command="ls /etc/guarded; ps | grep -c '[g]etty'")
        assert left.stdout.split() == ["files", "network", "specialised", "0"]
        assert ssh(spec, tmp_path, "-o", "PubkeyAuthentication=no").returncode != 0

        with pytest.raises(qmp.QmpRefused), qmp.connect(machine_folder(machines, spec) / "run/qmp") as control:
            control.execute("screendump")
        process = (machine_folder(machines, spec) / "run/qemu.pid").read_text().strip()
        arguments = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        assert not {b"-vnc", b"-spice", b"-gdb", b"-s"} & set(arguments)
        assert arguments[arguments.index(b"-serial") + 1] == b"none"
    finally:
        machines.stop(spec.id)
    assert machines.list() == {spec.id: "stopped"}


def test_a_vm_whose_firmware_trusts_another_key_too_does_not_unlock(
    machines: VirtualMachines, provisioned: VmSpec, host: Any, real_template: Any
) -> None:
    """Only the variables differ: what boots is the same signed image, but PCR 7 says what else could have booted."""
    folder = machine_folder(machines, provisioned)
    variables = folder / vm_folder.VARIABLES
    shutil.copy(variables, folder / "variables.before")
    platform = secure_boot.throwaway_platform_certificate("attacker", datetime.now(UTC))
    boot = real_template.signed.catalog.boot_certificate
    secure_boot.write_variable_store(secure_boot.variables_for(boot, platform), variables)
    try:
        with pytest.raises(HostError) as caught:
            machines.start(provisioned.id, host.certificate, quiet)
        assert caught.value.code == "vm-did-not-unlock"
        assert machines.list() == {provisioned.id: "stopped"}
    finally:
        (folder / "variables.before").replace(variables)


def machine_folder(machines: VirtualMachines, spec: VmSpec) -> Path:
    return machines._folder / spec.id
