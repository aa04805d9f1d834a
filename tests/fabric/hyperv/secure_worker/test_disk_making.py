"""One pass over a template gives its hashes and the VM's encrypted disk; files then change a few sectors of it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fabric.disks.blocks import BLOCK_LENGTH, BlockHash
from fabric.disks.catalog import Role
from fabric.disks.image import DiskLayout, Extent
from fabric.disks.reading import OpenDisk, open_disk
from fabric.hyperv.errors import HostError
from fabric.hyperv.secure_worker.disk_making import CHUNK, Part, making_disk, patch
from fabric.hyperv.secure_worker.file_placing import place_files
from fabric.hyperv.secure_worker.specialisation import check_kind
from hgs.keyprotection.secret import Secret
from tests.fabric.disks.test_ext4 import MIB, run, tree

SECTOR = 4096
LENGTH = 3 * CHUNK + 5 * SECTOR
GAP = 1 * MIB


def decrypted(data: bytes, key: Secret) -> bytes:
    """As dm-crypt reads it: aes-xts-plain64, sectors of 4096 bytes, counted in units of 512."""
    plain = bytearray()
    for at in range(0, len(data), SECTOR):
        tweak = (at // 512).to_bytes(16, "little")
        plain += Cipher(algorithms.AES(key.reveal()), modes.XTS(tweak)).decryptor().update(data[at : at + SECTOR])
    return bytes(plain)


@pytest.mark.parametrize("by", BlockHash)
def test_the_disk_is_encrypted_and_copied_and_hashed_in_one_pass(tmp_path: Path, by: BlockHash) -> None:
    template = tmp_path / "template"
    contents = os.urandom(GAP) + os.urandom(CHUNK) + bytes(CHUNK) + os.urandom(LENGTH - 2 * CHUNK)
    template.write_bytes(contents)
    key, target = Secret(os.urandom(64)), tmp_path / "disk"
    parts = (
        Part(Role.PARTITION_TABLE, 0, 512 * 34),
        Part(Role.EFI_SYSTEM, 0, GAP, 2 * MIB),
        Part(Role.OPERATING_SYSTEM, GAP, LENGTH, 4 * MIB, key),
    )
    told: list[tuple[int, int]] = []
    with template.open("rb") as source, target.open("x+b") as made:
        layout = DiskLayout(
            len(contents), (Extent(0, GAP + CHUNK, 0), Extent(GAP + 2 * CHUNK, LENGTH - 2 * CHUNK, GAP + 2 * CHUNK))
        )
        disk = OpenDisk(source.fileno(), layout)
        with making_disk(disk, made.fileno(), parts, by) as making:
            hashes = making.hashes(lambda done, total: told.append((done, total)))
    for part in parts:
        volume = contents[part.start : part.start + part.length]
        blocks = [volume[at : at + BLOCK_LENGTH] for at in range(0, part.length, BLOCK_LENGTH)]
        assert hashes[part.role] == tuple(by.of(block) for block in blocks)
    written = target.read_bytes()
    assert written[2 * MIB : 2 * MIB + GAP] == contents[:GAP]
    assert decrypted(written[4 * MIB : 4 * MIB + LENGTH], key) == contents[GAP:]
    assert told == sorted(told)
    assert told[-1] == (512 * 34 + GAP + LENGTH,) * 2


def test_a_template_that_is_cut_short_meanwhile_is_an_error(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.write_bytes(bytes(range(256)) * 256)
    with template.open("rb") as source, (tmp_path / "disk").open("x+b") as made:
        disk = OpenDisk(source.fileno(), DiskLayout(4 * CHUNK, (Extent(0, 4 * CHUNK, 0),)))
        parts = [Part(Role.EFI_SYSTEM, 2 * CHUNK, CHUNK)]
        with pytest.raises(EOFError), making_disk(disk, made.fileno(), parts, BlockHash.BLAKE3) as making:
            making.hashes(lambda *_: None)


FILES = {
    "/etc/guarded/unattend.env": Secret(b'GF_COMPUTER_NAME="web01"\n'),
    "/etc/guarded/files/notes.txt": Secret(os.urandom(200_000)),
}


def ext4(path: Path, folder: Path) -> None:
    (folder / "tree").mkdir()
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree(folder / "tree"), path)


def fat(path: Path, _folder: Path) -> None:
    run("mformat", "-i", path, "-T", 48 * 2048, "-h", "64", "-s", "32", "-F", "::")
    run("mmd", "-i", path, "::/etc", "::/etc/guarded", "::/etc/guarded/files")


def ntfs(path: Path, _folder: Path) -> None:
    run("mkntfs", "-F", "-Q", "-q", path)


def read_ext4(path: Path, name: str) -> bytes:
    run("e2fsck", "-f", "-n", path)
    assert "Mode:  0600" in run("debugfs", "-R", f"stat {name}", path)
    return subprocess.run(["debugfs", "-R", f"cat {name}", path], check=True, capture_output=True).stdout


def read_fat(path: Path, name: str) -> bytes:
    return subprocess.run(["mcopy", "-n", "-i", path, f"::{name}", "-"], check=True, capture_output=True).stdout


def read_ntfs(path: Path, name: str) -> bytes:
    return subprocess.run(["ntfscat", path, name], check=True, capture_output=True).stdout


@pytest.mark.parametrize(("make", "look"), [(ext4, read_ext4), (fat, read_fat), (ntfs, read_ntfs)])
def test_files_are_in_the_encrypted_volume(
    tmp_path: Path, make: Callable[[Path, Path], None], look: Callable[[Path, str], bytes]
) -> None:
    template, target, key = tmp_path / "template", tmp_path / "disk", Secret(os.urandom(64))
    template.touch()
    os.truncate(template, 48 * MIB)
    make(template, tmp_path)
    part = Part(Role.OPERATING_SYSTEM, 0, 48 * MIB, MIB, key)
    with open_disk(template) as disk, target.open("x+b") as made:
        with making_disk(disk, made.fileno(), [part], BlockHash.BLAKE3) as making:
            making.hashes(lambda *_: None)
        patch(made.fileno(), part, place_files(disk.read_within, part.length, FILES))
    volume = tmp_path / "volume"
    volume.write_bytes(decrypted(target.read_bytes()[MIB:], key))
    for name, contents in FILES.items():
        assert look(volume, name) == contents.reveal()
    assert list(tmp_path.glob("*notes*")) == []


def test_a_volume_of_another_kind_takes_no_files(tmp_path: Path) -> None:
    def xfs(offset: int, length: int) -> bytes:
        return b"XFSB"[offset : offset + length].ljust(length, b"\0")

    with pytest.raises(HostError, match="XFS"):
        place_files(xfs, MIB, FILES)


def test_a_full_volume_is_told_and_says_no_name(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.touch()
    os.truncate(template, 8 * MIB)
    ext4(template, tmp_path)
    with open_disk(template) as disk, pytest.raises(HostError) as caught:
        place_files(disk.read_within, 8 * MIB, {"/etc/guarded/files/secret-name": Secret(os.urandom(9 * MIB))})
    assert caught.value.code == "specialise-failed"
    assert "secret-name" not in f"{caught.value.message}{caught.value.advice}"


@pytest.mark.parametrize("path", ["/etc/guarded/unattend.env", "/Windows/Panther/unattend.xml"])
def test_an_answer_file_for_another_system_is_refused(path: str) -> None:
    from fabric.disks.filesystems import FileSystem

    wrong = FileSystem.NTFS if path.startswith("/etc") else FileSystem.EXT4
    right = FileSystem.EXT4 if path.startswith("/etc") else FileSystem.NTFS
    check_kind({path: Secret(b"")}, right)
    with pytest.raises(HostError) as caught:
        check_kind({path: Secret(b"")}, wrong)
    assert caught.value.code == "answer-file-kind"
