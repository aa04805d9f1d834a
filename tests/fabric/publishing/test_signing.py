"""Signing a disk, and the command line of a publisher."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from fabric.cli.template import template
from fabric.disks.catalog import Role, parse_catalog
from fabric.disks.errors import CatalogError, DiskChanged, DiskError, PartitionTableError
from fabric.publishing import signing, signing_keys
from fabric.publishing.certificates import write_signing_certificate
from fabric.publishing.errors import PublishingError
from fabric.publishing.images import open_image
from fabric.publishing.inspection import check_place, inspect_disk
from fabric.publishing.template_builder import assemble_disk
from tests.fabric.template_disks import MEBIBYTE, OS_MEBIBYTES, ext4_volume, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return small_disk(tmp_path)


def run(*arguments: str | Path, **options: Any) -> str:
    done = CliRunner().invoke(template, [str(item) for item in arguments], catch_exceptions=False, **options)
    assert done.exit_code == 0, done.output
    return done.output


def keys(folder: Path) -> list[str | Path]:
    if not (folder / "keys").exists():
        run("certificate", "Publisher", "--out", folder / "keys")
    return ["--certificate", folder / "keys/signing.pem", "--key", folder / "keys/signing.key"]


def protect(disk: Path, *more: str | Path, version: str = "1.2.3.4", folder: Path | None = None) -> Path:
    folder = folder or disk.parent
    catalog = folder / "t.vsc"
    named = ["--name", "My template", "--version", version]
    boot = ["--boot-certificate", folder / "boot-certificate.pem"]
    run("protect", "--disk", disk, *named, *(more or keys(folder)), *boot, "--catalog", catalog)
    return catalog


def order(disk: Path, folder: Path) -> signing.ToSign:
    if not (folder / "p").exists():
        write_signing_certificate("Publisher", folder / "p")
    signer = signing_keys.from_pem(folder / "p/signing.pem", folder / "p/signing.key")
    boot = signing_keys.load_certificate(folder / "boot-certificate.pem")
    return signing.ToSign(disk, "My template", "1.2.3.4", signer, boot, folder / "t.vsc")


def test_a_disk_is_signed_inspected_and_verified_and_not_changed(disk: Path) -> None:
    before = disk.read_bytes()
    catalog = protect(disk)
    assert disk.read_bytes() == before
    shown = run("inspect", catalog)
    assert "My template" in shown
    assert "CN=Publisher" in shown
    assert "as it was signed" in run("verify", disk, "--catalog", catalog)
    assert sorted(path.name for path in disk.parent.glob(".*")) == []


def test_a_vhdx_to_publish_is_written_where_it_is_wanted(disk: Path) -> None:
    out = disk.parent / "t.vhdx"
    catalog = protect(disk, *keys(disk.parent), "--out", out)
    assert out.read_bytes()[:8] == b"vhdxfile"
    assert "as it was signed" in run("verify", out, "--catalog", catalog)


FORMATS = [
    ("vhdx", []),
    ("vpc", ["-o", "force_size=on"]),
    ("vpc", ["-o", "subformat=fixed,force_size=on"]),
    ("qcow2", []),
    ("qcow2", ["-c"]),
]


@pytest.mark.parametrize(("form", "options"), FORMATS)
def test_every_container_gives_the_same_hashes(disk: Path, form: str, options: list[str]) -> None:
    other = disk.parent / "other"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, *options, disk, other], check=True)
    first = parse_catalog(protect(disk).read_bytes()).verify().catalog
    second = parse_catalog(protect(other, folder=disk.parent).read_bytes()).verify().catalog
    assert first == second
    assert "as it was signed" in run("verify", other, "--catalog", disk.parent / "t.vsc")
    assert "yes" in run("inspect", other)
    assert list(disk.parent.glob(".unpacked*")) == []


def test_a_differencing_image_is_refused(disk: Path) -> None:
    child = disk.parent / "child.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", child], check=True)
    with pytest.raises(DiskError, match="differencing"):
        protect(child, folder=disk.parent)


def test_an_image_whose_bytes_lie_elsewhere_is_refused(disk: Path) -> None:
    outside = disk.parent / "outside.qcow2"
    options = f"data_file={disk.parent / 'secret'},data_file_raw=on"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, outside, "16M"], check=True)
    with pytest.raises(DiskError, match="another file"):
        protect(outside, folder=disk.parent)


def test_a_changed_disk_does_not_verify(disk: Path) -> None:
    catalog = protect(disk)
    with disk.open("r+b") as stream:
        stream.seek(MEBIBYTE + 77)
        stream.write(b"x")
    with pytest.raises(DiskChanged, match="EFI system partition"):
        run("verify", disk, "--catalog", catalog)


def test_a_disk_without_gpt_is_not_signed(disk: Path) -> None:
    disk.write_bytes(bytes(4 * MEBIBYTE))
    with pytest.raises(PartitionTableError, match="no GUID partition table"):
        protect(disk)
    assert not (disk.parent / "t.vsc").exists()


@pytest.mark.parametrize("version", ["1", "1.2.3", "1.2.3.65536", "01.2.3.4"])
def test_a_malformed_version_leaves_nothing_behind(disk: Path, version: str) -> None:
    with pytest.raises(CatalogError, match="four numbers"):
        protect(disk, version=version)
    assert not (disk.parent / "t.vsc").exists()


class Stopped(Exception):  # noqa: N818 - what Ctrl-C does here
    pass


def test_signing_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "large.img"
    ext4_volume(tmp_path)
    os.truncate(tmp_path / "os.img", 40 * MEBIBYTE)
    (tmp_path / "os.img").rename(system)
    work = order(small_disk(tmp_path, system), tmp_path)

    def stop(done: int, _total: int) -> None:
        if done > 20 * MEBIBYTE:
            raise Stopped

    with pytest.raises(Stopped):
        signing.sign_template(work, stop)
    assert not work.catalog.exists()
    begun: list[int] = []
    hash_blocks = signing.hash_blocks

    def noted(*arguments: Any, first: int = 0) -> Any:
        begun.append(first)
        return hash_blocks(*arguments, first=first)

    monkeypatch.setattr(signing, "hash_blocks", noted)
    signed = signing.sign_template(work)
    assert max(begun) >= 16
    monkeypatch.undo()
    assert signed.catalog == signing.sign_template(work, fresh=True).catalog
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "other disk"])
def test_what_was_kept_of_a_run_counts_only_whole_and_for_the_same_disk(tmp_path: Path, damage: str) -> None:
    work = order(small_disk(tmp_path), tmp_path)
    with pytest.raises(Stopped):
        signing.sign_template(work, lambda done, _total: (_ for _ in ()).throw(Stopped) if done > 9e6 else None)
    kept = tmp_path / ".t.vsc.leaves"
    data = bytearray(kept.read_bytes())
    if damage == "cut":
        kept.write_bytes(data[:-5])
    elif damage == "flipped":
        data[-5] ^= 1
        kept.write_bytes(data)
    else:
        with work.disk.open("r+b") as stream:
            stream.seek(6 * MEBIBYTE)
            stream.write(b"changed since")
    signed = signing.sign_template(work)
    signing.verify_template(work.disk, signed)


def refused(folder: Path, system: Path) -> str:
    with open_image(small_disk(folder, system)) as opened, pytest.raises((DiskError, PublishingError)) as caught:
        inspect_disk(opened, None)
    assert caught.value.message.endswith(".")
    assert caught.value.advice
    return caught.value.code


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"machineDASHid": "0123456789abcdef0123456789abcdef\n"}, "not-generalised"),
        ({"ssh__ssh_host_ed25519_key": "a key"}, "not-generalised"),
    ],
)
def test_a_disk_that_is_some_machines_is_not_signed(tmp_path: Path, files: dict[str, str], code: str) -> None:
    assert refused(tmp_path, ext4_volume(tmp_path, **files)) == code


def test_a_volume_that_cannot_be_specialised_is_refused_when_it_is_signed(tmp_path: Path) -> None:
    bare = tmp_path / "bare.img"
    bare.write_bytes(bytes(OS_MEBIBYTES * MEBIBYTE))
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", bare], check=True)
    assert refused(tmp_path, bare) == "file-system-folder"


def signature_only(path: Path, at: int, signature: bytes) -> Path:
    data = bytearray(OS_MEBIBYTES * MEBIBYTE)
    data[at : at + len(signature)] = signature
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("at", "signature"), [(0, b"XFSB"), (65600, b"_BHRfS_M"), (0, b"\0")])
def test_file_systems_without_a_way_in_are_refused(tmp_path: Path, at: int, signature: bytes) -> None:
    assert refused(tmp_path, signature_only(tmp_path / "x.img", at, signature)) == "file-system-unsupported"


def windows(folder: Path, *files: str) -> Path:
    """A volume with NTFS and these files, which are empty."""
    volume, archive = folder / "ntfs.img", folder / "a.wim"
    volume.write_bytes(bytes(OS_MEBIBYTES * MEBIBYTE))
    subprocess.run(["mkntfs", "-F", "-Q", "-q", volume], check=True, capture_output=True)
    for name in files:
        (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / name).touch()
    if files:
        subprocess.run(["wimcapture", folder / "files", archive, "--compress=none"], check=True, capture_output=True)
        subprocess.run(["wimapply", archive, "1", volume], check=True, capture_output=True)
    return volume


MARK, LOG = "Windows/System32/Sysprep/Sysprep_succeeded.tag", "Windows/Panther/setupact.log"


@pytest.mark.parametrize("generalised", [True, False])
def test_windows_is_taken_once_sysprep_was_there(tmp_path: Path, generalised: bool) -> None:
    volume = windows(tmp_path, LOG, *([MARK] if generalised else []))
    if not generalised:
        assert refused(tmp_path, volume) == "not-generalised"
        return
    with open_image(small_disk(tmp_path, volume)) as opened:
        assert inspect_disk(opened, None).file_system == "NTFS"


def test_a_volume_with_ntfs_that_is_empty_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, windows(tmp_path)) == "not-generalised"


def test_windows_without_the_folder_of_its_answer_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, windows(tmp_path, MARK)) == "file-system-folder"


def test_windows_that_was_not_shut_down_is_refused(tmp_path: Path) -> None:
    volume = windows(tmp_path, LOG, MARK)
    data = bytearray(volume.read_bytes())
    record = 4 * 4096 + 3 * 1024  # $Volume: mkntfs puts the table of files there
    place = data.index(struct.pack("<BB", 3, 1), record)  # version 3.1, and then the flags
    data[place + 2] |= 1
    volume.write_bytes(data)
    assert refused(tmp_path, volume) == "file-system-unclean"


def test_a_volume_with_fat_needs_the_folders_too(tmp_path: Path) -> None:
    volume = tmp_path / "fat.img"
    volume.write_bytes(bytes(OS_MEBIBYTES * MEBIBYTE))
    subprocess.run(["mformat", "-i", volume, "-T", "16384", "-h", "64", "-s", "32", "::"], check=True)
    assert refused(tmp_path, volume) == "file-system-folder"
    subprocess.run(["mmd", "-i", volume, "::/etc", "::/etc/guarded", "::/etc/guarded/files"], check=True)
    (tmp_path / "again").mkdir()
    with open_image(small_disk(tmp_path / "again", volume)) as opened:
        assert inspect_disk(opened, None).file_system == "FAT"


def test_a_boot_program_of_another_key_is_refused(disk: Path) -> None:
    write_signing_certificate("Somebody", disk.parent / "other")
    (disk.parent / "other/signing.pem").rename(disk.parent / "boot-certificate.pem")
    with pytest.raises(PublishingError, match="not signed by the boot certificate"):
        protect(disk)


def test_a_boot_program_of_another_kind_is_refused(tmp_path: Path) -> None:
    made = small_disk(tmp_path)
    subprocess.run(["mdel", "-i", tmp_path / "esp.img", "::/EFI/BOOT/BOOTX64.EFI"], check=True)
    assemble_disk(made, tmp_path / "esp.img", tmp_path / "os.img")
    with pytest.raises(PublishingError, match=r"BOOTX64\.EFI"):
        protect(made)


def test_a_partition_behind_the_operating_systems_is_refused(disk: Path) -> None:
    with open_image(disk) as opened:
        table = inspect_disk(opened, None).table
    efi, system = table.partitions
    assert efi.first_sector < system.first_sector
    with pytest.raises(PublishingError, match="must be the last"):
        check_place(table, efi.offset, efi.length)


def test_a_key_in_a_pfx_signs(disk: Path) -> None:
    keys(disk.parent)
    signer = signing_keys.from_pem(disk.parent / "keys/signing.pem", disk.parent / "keys/signing.key")
    pfx, words = disk.parent / "key.pfx", disk.parent / "words"
    encryption = serialization.BestAvailableEncryption(b"a passphrase")
    pfx.write_bytes(
        pkcs12.serialize_key_and_certificates(b"k", signer.key, signer.certificate, None, encryption)  # type: ignore[arg-type]
    )
    words.write_text("a passphrase\n")
    catalog = protect(disk, "--pfx", pfx, "--passphrase-file", words)
    assert parse_catalog(catalog.read_bytes()).verify().certificate == signer.certificate
    words.write_text("another\n")
    with pytest.raises(PublishingError, match="PFX"):
        protect(disk, "--pfx", pfx, "--passphrase-file", words)


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    write_signing_certificate("P", tmp_path)
    with pytest.raises(PublishingError, match="exists already"):
        write_signing_certificate("P", tmp_path)
    assert (tmp_path / "signing.key").stat().st_mode & 0o077 == 0


def test_the_catalog_covers_what_boots(disk: Path) -> None:
    signed = parse_catalog(protect(disk).read_bytes()).verify()
    assert [volume.role for volume in signed.catalog.volumes] == list(Role)
