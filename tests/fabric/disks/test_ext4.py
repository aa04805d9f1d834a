"""Of an ext4 file system, what is found and what is named as needed for writing agrees with e2fsprogs."""

import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric.disks.errors import FileSystemError
from fabric.disks.ext4 import Ext4, read_ext4
from fabric.disks.filesystems import FileSystem, file_system_of

MIB = 1024 * 1024
MAKES = {
    "default": ("-t", "ext4"),
    "small blocks": ("-t", "ext4", "-b", "1024"),
    "without checksums": ("-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^64bit"),
    "many groups": ("-t", "ext4", "-b", "1024", "-g", "1024", "-O", "^flex_bg"),
}


def run(*command: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def tree(folder: Path) -> Path:
    """Folders, one of them with an index, and a file."""
    (folder / "etc/guarded/files").mkdir(parents=True)
    (folder / "etc/machine-id").write_text("uninitialized\n")
    (folder / "etc/long").write_bytes(bytes(range(256)) * 200)
    (folder / "many").mkdir()
    for number in range(700):
        (folder / "many" / f"a-name-that-takes-some-room-in-its-folder-{number:04}").touch()
    return folder


@pytest.fixture(scope="module", params=MAKES.values(), ids=MAKES.keys())
def volume(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ext4")
    path = folder / "volume"
    path.touch()
    os.truncate(path, 24 * MIB)
    (folder / "tree").mkdir()
    run("mke2fs", "-q", "-F", *request.param, "-d", tree(folder / "tree"), path)
    return path


def of(data: bytes) -> Ext4:
    return read_ext4(lambda offset, length: data[offset : offset + length], len(data))


def test_it_is_told_by_its_signature(volume: Path) -> None:
    data = volume.read_bytes()
    assert file_system_of(lambda offset, length: data[offset : offset + length]) is FileSystem.EXT4


def test_files_are_found_and_read(volume: Path) -> None:
    found = of(volume.read_bytes())
    file = found.find("/etc/machine-id")
    assert file
    assert found.contents(file) == b"uninitialized\n"
    long = found.find("/etc/long")
    assert long
    assert found.contents(long) == bytes(range(256)) * 200
    folder = found.find("/many")
    assert folder
    assert len(found.entries(folder)) == 700
    assert found.find("/etc/nothing") is None
    assert found.find("/etc/machine-id/below") is None


def test_free_blocks_are_those_of_dumpe2fs(volume: Path) -> None:
    found = of(volume.read_bytes())
    free = set()
    for line in run("dumpe2fs", volume).splitlines():
        if line.strip().startswith("Free blocks: "):
            for part in filter(None, line.split(":", 1)[1].replace(" ", "").split(",")):
                begin, _, end = part.partition("-")
                free |= set(range(int(begin), int(end or begin) + 1))
    assert {block for block in range(found.first_block, found.blocks) if found.is_free(block)} == free


def test_a_folder_that_is_not_there_is_named(volume: Path) -> None:
    with pytest.raises(FileSystemError, match="/etc/guarded/others"):
        list(of(volume.read_bytes()).needed_for(["/etc/guarded/others"], 1))


def changed(volume: Path, offset: int, value: bytes) -> bytes:
    data = bytearray(volume.read_bytes())
    data[offset : offset + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("offset", "value", "code"),
    [
        (1024 + 0x3A, b"\0\0", "file-system-unclean"),
        (1024 + 0x60, b"\x46\x02\0\0", "file-system-unclean"),
        (1024 + 0x60, b"\x52\x02\0\0", "file-system-features"),
        (1024 + 0x04, b"\xff\xff\xff\x7f", "file-system-damaged"),
        (1024 + 0x18, b"\x06\0\0\0", "file-system-damaged"),
        (1024 + 0x28, b"\0\0\0\0", "file-system-damaged"),
        (1024 + 0x38, b"\0\0", "file-system-damaged"),
    ],
)
def test_what_cannot_be_written_to_is_refused_by_name(volume: Path, offset: int, value: bytes, code: str) -> None:
    with pytest.raises(FileSystemError) as caught:
        of(changed(volume, offset, value))
    assert caught.value.code == code
    assert caught.value.advice


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 400 * 1024), st.integers(0, 255)), min_size=1, max_size=12))
def test_damage_is_read_within_bounds_or_refused(volume: Path, damage: list[tuple[int, int]]) -> None:
    data = bytearray(volume.read_bytes())
    for offset, value in damage:
        data[offset] = value
    try:
        found = of(bytes(data))
        ranges: Iterator[tuple[int, int]] = found.needed_for(["/etc/guarded/files"], 3)
        assert all(offset >= 0 and offset + length <= len(data) + 4096 for offset, length in ranges)
    except FileSystemError:
        return


def signature(at: int, value: bytes) -> Callable[[int, int], bytes]:
    data = bytearray(128 * 1024)
    data[at : at + len(value)] = value
    return lambda offset, length: bytes(data[offset : offset + length])


@pytest.mark.parametrize(
    ("at", "value", "kind"),
    [
        (3, b"NTFS    ", FileSystem.NTFS),
        (82, b"FAT32   ", FileSystem.FAT),
        (54, b"FAT16   ", FileSystem.FAT),
        (65600, b"_BHRfS_M", FileSystem.BTRFS),
        (0, b"XFSB", FileSystem.XFS),
        (0, b"nothing", None),
    ],
)
def test_other_file_systems_are_told_too(at: int, value: bytes, kind: FileSystem | None) -> None:
    assert file_system_of(signature(at, value)) is kind


def test_a_tree_that_names_one_block_again_and_again_is_refused_at_once(volume: Path) -> None:
    """Each node may name hundreds; followed blindly, two blocks would become thousands of millions."""
    found = of(volume.read_bytes())
    many = found.find("/many")
    assert many
    block = next(iter(found._blocks_of(many)))
    data = bytearray(volume.read_bytes())
    size = found.block_size
    entries = (size - 12) // 12
    node = struct.pack("<HHHHI", 0xF30A, entries, entries, 1, 0)
    data[block * size : (block + 1) * size] = (node + struct.pack("<IIHH", 0, block, 0, 0) * entries).ljust(size, b"\0")
    root = struct.pack("<HHHHI", 0xF30A, 4, 4, 2, 0) + struct.pack("<IIHH", 0, block, 0, 0) * 4
    inode = found._inode_offset(many.number)
    data[inode + 0x28 : inode + 0x64] = root
    with pytest.raises(FileSystemError, match="too deep"):
        list(of(bytes(data)).needed_for(["/many"], 1))
