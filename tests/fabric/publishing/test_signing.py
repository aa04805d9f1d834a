"""Signing a disk, and the command line of a publisher."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from fabric.cli.template import template
from fabric.disks.errors import DiskChanged, PartitionTableError
from fabric.publishing import signing
from fabric.publishing.certificates import write_signing_certificate
from fabric.publishing.errors import PublishingError
from fabric.publishing.template_builder import assemble_disk

MEBIBYTE = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    for name, fill in (("esp.img", b"E"), ("os.img", b"O")):
        (tmp_path / name).write_bytes(fill * MEBIBYTE + bytes(MEBIBYTE))
    assemble_disk(tmp_path / "template.raw", tmp_path / "esp.img", tmp_path / "os.img")
    write_signing_certificate("Boot", tmp_path / "boot")
    (tmp_path / "boot/signing.pem").rename(tmp_path / "boot-certificate.pem")
    return tmp_path / "template.raw"


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(template, [str(item) for item in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def signed(disk: Path) -> tuple[Path, Path]:
    folder = disk.parent
    run("certificate", "Publisher", "--out", folder / "keys")
    key = ["--certificate", folder / "keys/signing.pem", "--key", folder / "keys/signing.key"]
    out = ["--out", folder / "t.vhdx", "--catalog", folder / "t.vsc"]
    run("sign", "--disk", disk, "--name", "My template", "--version", "1.2.3.4", *key, *out)
    return folder / "t.vhdx", folder / "t.vsc"


def test_a_disk_is_signed_inspected_and_verified(disk: Path) -> None:
    vhdx, catalog = signed(disk)
    assert vhdx.read_bytes()[:8] == b"vhdxfile"
    shown = run("inspect", catalog)
    assert "My template" in shown
    assert "CN=Publisher" in shown
    assert "as it was signed" in run("verify", vhdx, "--catalog", catalog)
    assert "as it was signed" in run("verify", disk, "--catalog", catalog)


def test_a_changed_disk_does_not_verify(disk: Path) -> None:
    _, catalog = signed(disk)
    with disk.open("r+b") as stream:
        stream.seek(MEBIBYTE + 77)
        stream.write(b"x")
    with pytest.raises(DiskChanged, match="EFI system partition"):
        run("verify", disk, "--catalog", catalog)


def test_a_disk_without_gpt_is_not_signed(disk: Path) -> None:
    disk.write_bytes(bytes(4 * MEBIBYTE))
    with pytest.raises(PartitionTableError, match="no GUID partition table"):
        signed(disk)
    assert not (disk.parent / "t.vhdx").exists()
    assert not (disk.parent / "t.vsc").exists()


def test_a_malformed_version_leaves_nothing_behind(disk: Path) -> None:
    write_signing_certificate("P", disk.parent / "k")
    certificate, key = signing.load_signing_key(disk.parent / "k/signing.pem", disk.parent / "k/signing.key")
    with pytest.raises(Exception, match="four numbers"):
        signing.sign_template(
            disk, "x", "1", certificate, key, certificate, disk.parent / "t.vhdx", disk.parent / "t.vsc"
        )
    assert not (disk.parent / "t.vhdx").exists()


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    write_signing_certificate("P", tmp_path)
    with pytest.raises(PublishingError, match="exists already"):
        write_signing_certificate("P", tmp_path)
    assert (tmp_path / "signing.key").stat().st_mode & 0o077 == 0
