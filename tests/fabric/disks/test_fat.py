"""Of a FAT volume, what is found and what is named as needed for writing agrees with mtools and fsck.fat."""

from __future__ import annotations

import re
import shutil
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.disks.errors import FileSystemError
from fabric.disks.fat import UNIT, Fat, read_fat
from fabric.disks.filesystems import FileSystem, bounded, file_system_of
from tests.fabric.disks.test_ntfs import MIB, reading, run

pytestmark = pytest.mark.skipif(
    not all(shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin") for tool in ("mkfs.fat", "fsck.fat", "mcopy")),
    reason="needs dosfstools and mtools",
)
MAKES: dict[str, tuple[int, tuple[str, ...]]] = {
    "FAT12": (4 * MIB, ("-F", "12", "-s", "4")),
    "FAT16": (24 * MIB, ("-F", "16", "-s", "2")),
    "FAT32": (40 * MIB, ("-F", "32", "-s", "1")),
    "one table": (40 * MIB, ("-F", "32", "-s", "1", "-f", "1")),
    "large sectors": (24 * MIB, ("-F", "12", "-s", "4", "-S", "4096")),
}
FOLDERS = ["/etc/guarded", "/etc/guarded/files"]


def make(path: Path, length: int, *options: str) -> Path:
    """A volume with the folders that a template has, one with a long name, and some files between."""
    with path.open("wb") as stream:
        stream.truncate(length)
    run("mkfs.fat", *options, path)
    for number, folder in enumerate(("etc", "etc/guarded", "a longer name than eight letters", "etc/guarded/files")):
        run("mmd", "-i", path, f"::/{folder}")
        run("mcopy", "-i", path, "-", f"::/file {number}", stdin=b"file" * 5000)
    return path


@pytest.fixture(scope="module", params=list(MAKES.values()), ids=list(MAKES))
def volume(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    length, options = request.param
    return make(tmp_path_factory.mktemp("fat") / "volume", length, *options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make(tmp_path_factory.mktemp("fat") / "volume", 40 * MIB, "-F", "32", "-s", "1").read_bytes()


def of(data: bytes, changes: dict[int, bytes] | None = None) -> Fat:
    return read_fat(reading(data, changes or {}), len(data))


def test_it_is_told_by_its_signature(volume: Path) -> None:
    assert file_system_of(reading(volume.read_bytes(), {})) is FileSystem.FAT


def test_as_many_clusters_are_free_as_fsck_counts(volume: Path) -> None:
    data = volume.read_bytes()
    found = of(data)
    counted = re.search(r"(\d+)/(\d+) clusters", run("fsck.fat", "-n", volume))
    assert counted
    free = sum(map(found.is_free, range(-2, len(data) // UNIT + 9)))
    assert free * UNIT == (int(counted[2]) - int(counted[1])) * found.cluster_size


def test_folders_are_found_by_either_name_and_little_else_is_needed(volume: Path) -> None:
    found = of(volume.read_bytes())
    tables = found.tables + found.tables_length
    assert sum(length for _, length in found.needed_for(FOLDERS)) < tables + 128 * 1024
    assert list(found.needed_for(["/A longer name than eight letters", "/ALONGE~1"]))


def test_a_folder_that_is_not_there_is_named(volume: Path) -> None:
    with pytest.raises(FileSystemError, match="/etc/guarded/others"):
        list(of(volume.read_bytes()).needed_for(["/etc/guarded/others"]))


def whole(volume: Fat, end: int) -> None:
    """All that is done with a volume of `end` bytes: nothing outside it is named."""
    for offset, length in bounded(volume.needed_for(FOLDERS)):
        assert length > 0
        assert 0 <= offset <= offset + length <= end
    assert isinstance(volume.is_free(volume.data // UNIT + 3), bool)


def refused(data: bytes, changes: dict[int, bytes]) -> str:
    with pytest.raises(FileSystemError) as caught:
        whole(of(data, changes), len(data))
    assert caught.value.code == "file-system-damaged"
    assert caught.value.advice
    return caught.value.message


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (11, b"\0\0"),
        (11, b"\xff\xff"),
        (13, b"\0"),
        (13, b"\3"),
        (14, b"\0\0"),
        (14, b"\xff\xff"),
        (16, b"\0"),
        (16, b"\xff"),
        (17, b"\xff\xff"),
        (32, b"\xff\xff\xff\xff"),
        (32, b"\0\0\0\0"),
        (36, b"\1\0\0\0"),
        (36, b"\xff\xff\xff\xff"),
        (44, b"\xff\xff\xff\xff"),
        (44, b"\0\0\0\0"),
        (510, b"\0\0"),
    ],
)
def test_absurd_numbers_in_the_boot_sector_are_refused(plain: bytes, offset: int, value: bytes) -> None:
    refused(plain, {offset: value})


def test_a_chain_that_bites_its_tail_is_refused(plain: bytes) -> None:
    volume = of(plain)
    entry = volume.tables + volume.root_cluster * 4
    loop = struct.pack("<I", volume.root_cluster)
    assert "does not end" in refused(plain, {entry: loop})
    for stray in (0, 1, volume.clusters + 2, 0x0FFFFFF7):
        refused(plain, {entry: struct.pack("<I", stray)})


def test_a_volume_that_is_cut_short_is_refused(plain: bytes) -> None:
    refused(plain[: 8 * MIB], {})
    refused(b"", {})
    for end in (600, 64 * 1024):  # its length is right, and it ends all the same
        with pytest.raises(FileSystemError):
            whole(read_fat(reading(plain[:end], {}), len(plain)), len(plain))


@settings(max_examples=150, deadline=None)
@given(damage=st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6))
def test_damage_is_read_within_bounds_or_refused(plain: bytes, damage: list[tuple[int, bytes]]) -> None:
    volume = of(plain)
    told = [*range(96), *range(volume.tables, volume.tables + 96), *range(volume.data, volume.data + 512)]
    with suppress(FileSystemError):
        whole(of(plain, {told[at % len(told)]: value for at, value in damage}), len(plain))


@given(st.binary(max_size=500))
def test_any_bytes_are_read_within_bounds_or_refused(noise: bytes) -> None:
    head = noise.ljust(510, b"\0")[:510] + b"\x55\xaa"
    with suppress(FileSystemError):
        whole(read_fat(lambda offset, length: head[offset : offset + length].ljust(length, b"\0"), 2**40), 2**40)
