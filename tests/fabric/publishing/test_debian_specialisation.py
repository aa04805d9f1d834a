"""The Debian guest's script for the first boot, run on a folder that stands for its root."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from fabric.publishing.initial_ramdisk import guest_file

Specialise = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("etc/guarded/files", "etc/ssh/sshd_config.d", "etc/systemd/network", "etc/default", "root"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "usr/share/zoneinfo/Europe").mkdir(parents=True)
    (tmp_path / "usr/share/zoneinfo/Europe/Berlin").write_bytes(b"TZif")
    return tmp_path


@pytest.fixture
def specialise(root: Path) -> Specialise:
    def run(answers: str = "", **files: bytes) -> subprocess.CompletedProcess[bytes]:
        if answers:
            (root / "etc/guarded/unattend.env").write_text(answers)
        for name, contents in files.items():
            (root / "etc/guarded" / name).write_bytes(contents)
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ROOT": str(root)}
        script = guest_file("debian/specialise")
        return subprocess.run(["sh", "-s"], input=script, env=environment, capture_output=True, check=True)

    return run


def ssh_key() -> bytes:
    form = serialization.PrivateFormat.OpenSSH
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def test_names_addresses_and_keys_are_applied_and_the_originals_deleted(root: Path, specialise: Specialise) -> None:
    key = ssh_key()
    answers = (
        'GF_COMPUTER_NAME="web01"\nGF_TIME_ZONE="Europe/Berlin"\nGF_IP4_ADDRESS="10.20.0.5/24"\n'
        'GF_IP4_GATEWAY="10.20.0.1"\nGF_IP6_ADDRESS="fd00::5/64"\nGF_IP6_GATEWAY="fd00::1"\nGF_DNS="10.20.0.3"\n'
        'GF_LOCALE="C.UTF-8"\n'
    )
    specialise(answers, ssh_host_ed25519_key=key, authorized_keys=b"ssh-ed25519 AAAA owner\n")
    assert (root / "etc/hostname").read_text() == "web01\n"
    assert "127.0.1.1 web01" in (root / "etc/hosts").read_text()
    assert str((root / "etc/localtime").readlink()) == "/usr/share/zoneinfo/Europe/Berlin"
    network = (root / "etc/systemd/network/10-guarded.network").read_text().splitlines()
    assert {"Address=10.20.0.5/24", "Gateway=10.20.0.1", "Address=fd00::5/64", "Gateway=fd00::1"} <= set(network)
    assert {"Name=eth0", "DHCP=no", "IPv6AcceptRA=no"} <= set(network)
    assert (root / "etc/resolv.conf").read_text() == "nameserver 10.20.0.3\n"
    for name in ("locale.conf", "default/locale"):
        assert (root / "etc" / name).read_text() == "LANG=C.UTF-8\n"
    host_key = root / "etc/ssh/ssh_host_ed25519_key"
    assert (host_key.read_bytes(), host_key.stat().st_mode & 0o777) == (key, 0o600)
    keys = root / "root/.ssh/authorized_keys"
    assert (keys.read_bytes(), keys.stat().st_mode & 0o777) == (b"ssh-ed25519 AAAA owner\n", 0o600)
    assert sorted(path.name for path in (root / "etc/guarded").iterdir()) == ["files", "specialised"]


def test_without_answers_there_is_no_name_no_network_and_no_ssh_server(root: Path, specialise: Specialise) -> None:
    specialise()
    for name in ("etc/hostname", "etc/systemd/network/10-guarded.network", "etc/ssh/ssh_host_ed25519_key"):
        assert not (root / name).exists()
    assert (root / "etc/guarded/specialised").exists()


def test_passwords_stay_off_in_ssh_where_the_owner_set_none(root: Path, specialise: Specialise) -> None:
    specialise('GF_COMPUTER_NAME="web01"\n')
    assert list((root / "etc/ssh/sshd_config.d").iterdir()) == []


@pytest.mark.parametrize("zone", ["../../etc/shadow", "/etc/shadow", "Europe/../Berlin", "Europe/Nowhere", ".hidden"])
def test_a_time_zone_that_is_none_is_left_out_and_said(root: Path, specialise: Specialise, zone: str) -> None:
    done = specialise(f'GF_TIME_ZONE="{zone}"\n')
    assert b"time zone" in done.stderr
    assert not (root / "etc/localtime").is_symlink()


@pytest.mark.parametrize("locale", ["-x", "a b", "$(touch x)", "xx_XX.UTF-8", "/etc"])
def test_a_locale_that_cannot_be_made_is_left_out_and_said(root: Path, specialise: Specialise, locale: str) -> None:
    done = specialise(f'GF_LOCALE="{locale}"\n')
    assert b"locale" in done.stderr
    assert not (root / "etc/default/locale").exists()


def test_answers_are_never_executed(root: Path, specialise: Specialise) -> None:
    specialise(f'GF_COMPUTER_NAME="$(touch {root}/ran)"\nGF_DNS="`touch {root}/ran`"\ntouch {root}/ran\n')
    assert not (root / "ran").exists()
    assert (root / "etc/hostname").read_text() == f"$(touch {root}/ran)\n"


def test_a_host_key_that_ssh_cannot_read_gives_no_server_that_fails(root: Path, specialise: Specialise) -> None:
    done = specialise(ssh_host_ed25519_key=b"not a key")
    assert b"host key is not usable" in done.stderr
    assert list((root / "etc/ssh").glob("ssh_host_*")) == []
    assert not (root / "etc/guarded/ssh_host_ed25519_key").exists()


def test_it_goes_on_after_a_crash_where_it_was(root: Path, specialise: Specialise) -> None:
    """The power went after the answers had been deleted, before that was noted."""
    specialise('GF_COMPUTER_NAME="web01"\n', ssh_host_ed25519_key=ssh_key())
    (root / "etc/guarded/specialised").unlink()
    specialise()
    assert (root / "etc/hostname").read_text() == "web01\n"
    assert (root / "etc/ssh/ssh_host_ed25519_key").exists()
