"""Files placed through a view of some mebibytes are in NTFS and FAT as if the tool had had the whole volume."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fabric.disks.errors import FileSystemError
from fabric.disks.filesystems import bounded
from fabric.disks.ntfs import Ntfs, read_ntfs
from fabric.hyperv.errors import HostError
from fabric.hyperv.secure_worker import file_placing
from fabric.hyperv.secure_worker.file_placing import Changes, place_files
from fabric.hyperv.secure_worker.volume_view import Read, VolumeView, view_of
from hgs.keyprotection.secret import Secret
from tests.fabric.disks import test_fat, test_ntfs
from tests.fabric.disks.test_ntfs import MIB, fill, needs_tools, reading, run, scatter, tree, volume_of

GIB = 1024 * MIB
CENTURIES = 369 * 365 * 24 * 3600 * 10**7
"""About what lies between the years 1601, from which NTFS counts units of 100 ns, and 1970."""
WINDOWS = {
    "/Windows/Panther/unattend.xml": Secret(b"<unattend/>" * 4000),
    "/temp/first": Secret(os.urandom(200_000)),
    "/temp/second": Secret(b"small"),
    "/temp/empty": Secret(b""),
}
LINUX = {
    "/etc/guarded/unattend.env": Secret(b'GF_COMPUTER_NAME="web01"\n'),
    "/etc/guarded/files/notes.txt": Secret(os.urandom(200_000)),
}
Held = list[int]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]) -> Held:
    """Bytes in memory of each view, when the tools are done with it; they are told in reports (--junit-xml) too."""
    found: Held = []
    record_property("held", found)

    @contextmanager
    def measured(read: Read, length: int) -> Iterator[VolumeView]:
        with view_of(read, length) as view:
            yield view
            found.append(os.fstat(view.descriptor).st_blocks * 512)

    monkeypatch.setattr(file_placing, "view_of", measured)
    return found


def placed(data: bytes, files: dict[str, Secret]) -> bytes:
    """The volume with the files in it."""
    return applied(data, place_files(reading(data, {}), len(data), files))


def applied(data: bytes, changes: Changes) -> bytes:
    out = bytearray(data)
    for offset, page in changes:
        out[offset : offset + len(page)] = page
    return bytes(out)


def everything(volume: Ntfs, path: str = "/") -> Iterator[tuple[str, bytes]]:
    """Path and contents of all files in the tree of these tests, and the names of folders."""
    found = volume.find(path)
    assert found
    for name, number in volume.entries(found.file).items():
        below = f"{path.rstrip('/')}/{name}"
        file = volume._file(number)
        if name.startswith("$") or name == ".":
            continue
        if file.is_folder:
            yield below, b""
            yield from everything(volume, below)
        else:
            yield below, volume.contents(file)


def is_time(value: bytes) -> bool:
    seconds = (int.from_bytes(value, "little") - CENTURIES) / 10**7
    return 1.5e9 < seconds < 9e9


def test_times_are_told_from_other_numbers() -> None:
    assert is_time(struct.pack("<Q", CENTURIES + int(1.8e9) * 10**7))
    assert not is_time(bytes(8))
    assert not is_time(b"\xff" * 8)


def differing(one: bytes, other: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each eight bytes in which two volumes differ."""
    for start in range(0, len(one), 4096):
        if one[start : start + 4096] == other[start : start + 4096]:
            continue
        pairs = ((one[at : at + 8], other[at : at + 8]) for at in range(start, start + 4096, 8))
        yield from (pair for pair in pairs if pair[0] != pair[1])


@pytest.fixture(scope="module", params=[*test_ntfs.MAKES, "scattered"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("ntfs")
    path = folder / "volume"
    if request.param != "scattered":
        return test_ntfs.make(path, folder / "tree", *test_ntfs.MAKES[request.param]).read_bytes()
    with path.open("wb") as stream:
        stream.truncate(test_ntfs.LENGTH)
    run("mkntfs", "-F", "-Q", "-q", path)
    scatter(path)
    return fill(path, tree(folder / "tree", 3000)).read_bytes()


@needs_tools
def test_ntfs_takes_files_as_if_it_were_held_whole(
    data: bytes, held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    through_a_view = placed(data, WINDOWS)
    monkeypatch.setattr(Ntfs, "needed_for", lambda *_: [(0, len(data))])
    of_the_whole = placed(data, WINDOWS)
    assert held[0] < 4 * MIB
    assert [pair for pair in differing(through_a_view, of_the_whole) if not all(map(is_time, pair))] == []
    (tmp_path / "volume").write_bytes(through_a_view)
    run("ntfsfix", "-n", tmp_path / "volume")
    before, after = dict(everything(volume_of(data))), dict(everything(volume_of(through_a_view)))
    for path, contents in WINDOWS.items():
        spelled = path.replace("unattend", "Unattend")  # one was there, spelled so, and is replaced
        assert after.pop(spelled) == contents.reveal()
        assert before.pop(spelled, b"") != contents.reveal() or not contents.reveal()
        name = subprocess.run(["ntfscat", tmp_path / "volume", spelled], check=True, capture_output=True).stdout
        assert name == contents.reveal()
    assert after.pop("/temp") == b""
    assert after == before


@needs_tools
def test_files_come_into_a_folder_with_an_index_and_into_full_tables(data: bytes) -> None:
    """So many that the table grows, and the folder's index splits."""
    files = {f"/many/new-{number:03}": Secret(os.urandom(number * 40)) for number in range(50)}
    files |= {f"/other/folder/{number:03}": Secret(os.urandom(number * 90)) for number in range(50)}
    after = dict(everything(volume_of(placed(data, files))))
    assert {path: after[path] for path in files} == {path: item.reveal() for path, item in files.items()}
    for path, contents in everything(volume_of(data)):
        assert after[path] == contents


@needs_tools
def test_a_large_ntfs_takes_files_and_little_memory(held: Held, tmp_path: Path) -> None:
    """40 GiB, sparse: it cannot be held whole."""
    path = tmp_path / "volume"
    test_ntfs.make(path, tmp_path / "tree", length=40 * GIB, many=1500)
    descriptor = os.open(path, os.O_RDWR)

    def read(offset: int, length: int) -> bytes:
        return os.pread(descriptor, length, offset)

    before = dict(everything(read_ntfs(read, 40 * GIB)))
    for offset, page in place_files(read, 40 * GIB, WINDOWS):
        os.pwrite(descriptor, page, offset)
    assert max(held) < 4 * MIB
    run("ntfsfix", "-n", path)
    after = dict(everything(read_ntfs(read, 40 * GIB)))
    os.close(descriptor)
    for name, contents in WINDOWS.items():
        assert after.pop(name.replace("unattend", "Unattend")) == contents.reveal()
    assert after.pop("/temp") == b""
    del before["/Windows/Panther/Unattend.xml"]
    assert after == before


@needs_tools
def test_a_full_ntfs_is_told_and_says_no_name(tmp_path: Path) -> None:
    volume = test_ntfs.make(tmp_path / "volume", tmp_path / "tree", length=8 * MIB, many=1).read_bytes()
    for folder in ("/Windows/Panther", "/temp"):
        with pytest.raises(HostError) as caught:
            placed(volume, {f"{folder}/secret-name": Secret(os.urandom(9 * MIB))})
        assert caught.value.code == "specialise-failed"
        assert "secret-name" not in f"{caught.value.message}{caught.value.advice}"


@needs_tools
def test_ntfs_that_lacks_a_folder_inside_another_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree/Windows").mkdir(parents=True)
    volume = tmp_path / "volume"
    volume.write_bytes(bytes(8 * MIB))
    run("mkntfs", "-F", "-Q", "-q", volume)
    with pytest.raises(FileSystemError, match="/Windows/Panther"):
        placed(fill(volume, tmp_path / "tree").read_bytes(), WINDOWS)


@needs_tools
def test_what_a_volume_tells_to_be_in_use_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = test_ntfs.make(tmp_path / "volume", tmp_path / "tree", length=8 * MIB, many=1).read_bytes()
    monkeypatch.setattr(Ntfs, "is_free", lambda *_: False)
    with pytest.raises(HostError, match="written over"):
        placed(volume, WINDOWS)


@pytest.fixture(params=list(test_fat.MAKES.values()), ids=list(test_fat.MAKES))
def fat(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    length, options = request.param
    return test_fat.make(tmp_path / "volume", length, *options)


needs_fat = test_fat.pytestmark


@needs_fat
def test_fat_takes_files_as_if_it_were_held_whole(
    fat: Path, held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fat.read_bytes()
    through_a_view = placed(data, LINUX)
    assert held[0] < 2 * MIB
    fat.write_bytes(through_a_view)
    run("fsck.fat", "-n", fat)
    for path, contents in LINUX.items():
        found = subprocess.run(["mcopy", "-n", "-i", fat, f"::{path}", "-"], check=True, capture_output=True).stdout
        assert found == contents.reveal()
    for number in range(4):
        assert run("mcopy", "-n", "-i", fat, f"::/file {number}", "-") == "file" * 5000
    monkeypatch.setattr(file_placing, "bounded", lambda _: [(0, len(data))])
    of_the_whole = placed(data, LINUX)
    assert len(list(differing(through_a_view, of_the_whole))) <= 2 * len(LINUX)  # their times


@needs_fat
def test_a_large_fat_takes_files_and_little_memory(held: Held, tmp_path: Path) -> None:
    path = test_fat.make(tmp_path / "volume", 40 * GIB, "-F", "32", "-s", "64")
    descriptor = os.open(path, os.O_RDWR)

    def read(offset: int, length: int) -> bytes:
        return os.pread(descriptor, length, offset)

    for offset, page in place_files(read, 40 * GIB, LINUX):
        os.pwrite(descriptor, page, offset)
    os.close(descriptor)
    assert max(held) < 4 * MIB
    run("fsck.fat", "-n", path)
    for name, contents in LINUX.items():
        found = subprocess.run(["mcopy", "-n", "-i", path, f"::{name}", "-"], check=True, capture_output=True).stdout
        assert found == contents.reveal()


@needs_fat
def test_a_fat_whose_tables_are_larger_than_what_may_be_held_is_refused() -> None:
    """By what its boot sector says: about 2^25 clusters, of which each table tells in 128 MiB."""
    head = bytearray(512)
    struct.pack_into("<HBHB", head, 11, 512, 2, 32, 2)
    struct.pack_into("<II4xI", head, 32, 2**26, 2**18, 2)
    head[82:90], head[510:512] = b"FAT32   ", b"\x55\xaa"

    def read(offset: int, length: int) -> bytes:
        return bytes(head[offset : offset + length]).ljust(length, b"\0")

    with pytest.raises(FileSystemError) as caught:
        place_files(read, 2**35, LINUX)
    assert caught.value.code == "file-system-needs-much"
    assert list(bounded([(0, MIB)])) == [(0, MIB)]
