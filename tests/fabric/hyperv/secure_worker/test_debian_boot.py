"""The Debian template: nothing of its builder is in it, and a shielded VM made from it answers with its owner's host
key and takes nothing but its network from a host that offers it more."""

from __future__ import annotations

import re
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric.hyperv import vm
from fabric.hyperv.spec import VmSpec
from fabric.publishing.initial_ramdisk import guest_file
from fabric.publishing.signing import read_partition_table
from tests.fabric.hyperv.secure_worker.conftest import CANARY, Template, new_spec, open_ssh, public_line, quiet
from tests.fabric.hyperv.secure_worker.test_boot import free_port, ssh

pytestmark = pytest.mark.vm
InGuest = Callable[[str], str]

# systemd writes such files, sets passwords and more for whoever hands it credentials by the firmware (systemd.exec(5)).
_PLANTED = "f+ /etc/planted 0644 root root - by the host\n"
_HOSTS_OFFER = [
    *("-smbios", f"type=11,value=io.systemd.credential.binary:tmpfiles.extra={b64encode(_PLANTED.encode()).decode()}"),
    *("-fw_cfg", f"name=opt/io.systemd.credentials/tmpfiles.extra,string={_PLANTED}"),
]


@pytest.fixture(scope="module")
def volume(debian_template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of the template's OS volume."""
    table = read_partition_table(debian_template.raw)
    target = tmp_path_factory.mktemp("volume")
    source = f"{debian_template.raw}?offset={table.partitions[1].offset}"
    command = ["/usr/sbin/debugfs", "-R", f"rdump / {target}", source]
    # Without root it complains that it cannot give files to root, and goes on.
    subprocess.run(command, capture_output=True, check=True)
    assert (target / "etc/debian_version").exists()
    return target


def test_no_name_key_log_or_list_of_the_builder_is_left(volume: Path) -> None:
    for name in (
        "etc/hostname", "etc/resolv.conf", "etc/.pwd.lock", "etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-",
        "etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap", "var/lib/systemd/random-seed",
        "var/lib/dbus/machine-id", "root/.bash_history", "etc/mailname",
    ):  # fmt: skip
        assert not (volume / name).exists(), name
    assert (volume / "etc/machine-id").read_bytes() == b""
    for name in ("boot", "dev", "tmp", "var/tmp", "var/lib/apt/lists", "root/.ssh", "etc/guarded/files"):
        assert list((volume / name).iterdir()) == [], name
    assert list((volume / "etc/ssh").glob("ssh_host_*")) == []
    assert [path.name for path in (volume / "var/log").rglob("*") if path.is_file()] in ([], ["README"])
    assert list((volume / "var/cache/apt").rglob("*.deb")) == []
    assert (volume / "etc/hosts").read_bytes() == guest_file("debian/hosts")


def test_no_account_has_a_password(volume: Path) -> None:
    accounts = dict(line.split(":")[:2] for line in (volume / "etc/shadow").read_text().splitlines())
    assert accounts["root"] == "*"
    assert set(accounts.values()) <= {"*", "!", "!*"}
    assert (volume / "etc/guarded").stat().st_mode & 0o777 == 0o700


def test_no_driver_is_there_for_devices_that_machines_here_do_not_have(volume: Path) -> None:
    modules = {path.name.partition(".")[0] for path in (volume / "usr/lib/modules").rglob("*.ko*")}
    assert {"virtio_net", "virtio_console", "nf_tables", "overlay"} <= modules
    assert not {"qemu_fw_cfg", "hid", "usbcore", "usb-storage", "firewire-core", "mlx5_core"} & modules


@pytest.fixture(scope="module")
def vm_spec(
    host: Any, tenant: Any, debian_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VmSpec]:
    """A machine from the template, started by a host that offers it more than it should take, then shut down."""
    folder = tmp_path_factory.mktemp("debian")
    machines = host.machines(folder / "vms", "qemu")
    spec = new_spec(free_port())
    pdk = tenant.pdk(folder / "web.pdk", debian_template.signed)
    machines.provision(spec, host.certificate, debian_template.vhdx, debian_template.catalog, pdk, quiet)
    original = vm.qemu_command
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vm, "qemu_command", lambda *arguments: [*original(*arguments), *_HOSTS_OFFER])
            beat = machines.start(spec.id, host.certificate, quiet)
        assert (beat["state"], beat["computer_name"]) == ("running", "web01")
        yield spec
        machines.stop(spec.id)
        assert machines.list() == {spec.id: "stopped"}
    finally:
        machines.remove(spec.id)


@pytest.fixture
def in_guest(vm_spec: VmSpec, tenant: Any, tmp_path: Path) -> InGuest:
    """Runs a command in the machine as its owner does, who knows the host key by a name of its own."""
    (tmp_path / "known_hosts").write_text(f"web01.example {public_line(tenant.host_key).decode()}\n")
    (tmp_path / "id").touch(mode=0o600)
    (tmp_path / "id").write_bytes(open_ssh(tenant.user_key))

    def run(command: str) -> str:
        options = ["-o", "HostKeyAlias=web01.example", "-i", str(tmp_path / "id")]
        done = ssh(vm_spec, tmp_path, *options, command=command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_its_owner_signs_in_and_finds_all_of_the_shielding_data_applied(in_guest: InGuest) -> None:
    seen = in_guest(
        "hostname; cat /etc/guarded/files/canary.txt; echo; ls /etc/guarded; ls /etc/ssh/ssh_host_*; "
        "readlink /etc/localtime; cat /etc/resolv.conf; wc -c < /etc/machine-id; "
        "grep ^root: /etc/shadow | cut -c1-18; sshd -T | grep -i '^passwordauth'; ip -br -4 addr show eth0"
    )
    assert seen.split() == [
        *("web01", CANARY.decode(), "files", "specialised"),
        *("/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub"),
        *("/usr/share/zoneinfo/Europe/Berlin", "nameserver", "10.20.0.3", "33"),
        *("root:$6$saltsalt$a", "passwordauthentication", "yes", "eth0", "UP", "10.20.0.10/24"),
    ]


def test_nobody_but_the_system_owns_a_file(in_guest: InGuest) -> None:
    assert in_guest(
        "find / -xdev '(' -uid +999 -o -gid +999 -o -nouser -o -nogroup ')' -print -quit; echo searched"
    ) == ("searched\n")


def test_every_service_runs_and_none_asks_for_anything_on_a_console(in_guest: InGuest) -> None:
    seen = in_guest("systemctl is-system-running --wait; systemctl --failed --plain --no-legend; ps -eo comm,tty")
    state, *processes = seen.splitlines()
    assert state == "running"
    assert not [line for line in processes if re.search(r"getty|login|agetty|tty|ttyS|hvc", line)], processes


def test_credentials_that_the_host_hands_the_firmware_are_not_taken(in_guest: InGuest) -> None:
    seen = in_guest(
        "grep -c io.systemd.credential /sys/firmware/dmi/entries/11-*/raw; ls /etc; ls -RA /run/credentials"
    )
    offered, *found = seen.split()
    assert offered == "1"
    assert "passwd" in found
    assert not {"planted", "tmpfiles.extra"} & set(found)


def test_the_owners_script_runs_once_and_its_failure_is_noted(in_guest: InGuest) -> None:
    script = "#!/bin/sh\\necho ran >> /root/ran\\nexit 3\\n"
    seen = in_guest(
        f"printf '{script}' > /etc/guarded/configuration-script; systemctl start guarded-configure 2> /dev/null; "
        "echo $?; systemctl start guarded-configure; echo $?; cat /root/ran; ls /etc/guarded; "
        "cat /etc/guarded/configuration-result; journalctl --sync; journalctl -b -u guarded-configure --no-pager; "
        # as it was before, for the other tests
        "systemctl reset-failed guarded-configure; rm /etc/guarded/configuration-result"
    )
    expected = ["1", "0", "ran", "configuration-result", "files", "specialised", "3"]
    assert seen.split()[: len(expected)] == expected
    assert "the configuration script ended with exit code 3" in seen
