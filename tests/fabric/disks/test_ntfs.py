"""Of an NTFS volume, what is found and what is named as needed for writing agrees with ntfs-3g; damage is refused."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.disks.errors import FileSystemError
from fabric.disks.filesystems import NEEDED_MAX, FileSystem, Read, bounded, file_system_of
from fabric.disks.ntfs import Ntfs, read_ntfs
from fabric.disks.ntfs_records import Kind

MIB = 1024 * 1024
LENGTH = 64 * MIB
TOOLS = ("mkntfs", "wimcapture", "wimapply", "ntfsinfo", "ntfscp", "ntfsfix")
needs_tools = pytest.mark.skipif(
    not all(shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") for tool in TOOLS),
    reason="needs ntfs-3g and wimtools",
)
pytestmark = needs_tools
MAKES: dict[str, tuple[str, ...]] = {
    "default": (),
    "small clusters": ("-c", "512"),
    "large clusters": ("-c", "65536"),
}
FOLDERS = ("/Windows/Panther", "/temp")


def run(*command: object, stdin: bytes = b"") -> str:
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, input=stdin)
    return done.stdout.decode("utf-8", "replace")


def tree(folder: Path, many: int = 700) -> Path:
    """What Windows has, a folder with a large index, and files of all kinds."""
    (folder / "Windows/Panther").mkdir(parents=True)
    (folder / "Windows/Panther/Unattend.xml").write_bytes(b"old" * 5000)
    (folder / "many").mkdir()
    for number in range(many):
        (folder / "many" / f"a-name-that-takes-some-room-{number:05}").write_bytes(b"x" * (number % 7 * 300))
    (folder / "linked").mkdir()
    (folder / "linked/0").write_bytes(b"many names")
    for number in range(1, 60):
        (folder / f"linked/this-is-one-more-name-of-a-file-{number}").hardlink_to(folder / "linked/0")
    return folder


def make(path: Path, folder: Path, *options: str, length: int = LENGTH, many: int = 700) -> Path:
    """A volume with the tree above."""
    with path.open("wb") as stream:
        stream.truncate(length)
    run("mkntfs", "-F", "-Q", "-q", *options, path)
    return fill(path, tree(folder, many))


def fill(path: Path, folder: Path) -> Path:
    capture = ("wimcapture", folder, "-", "--compress=none", "--no-acls")
    archive = subprocess.run(capture, check=True, capture_output=True).stdout
    subprocess.run(["wimapply", "--no-acls", "-", "1", path], check=True, capture_output=True, input=archive)
    return path


def scatter(path: Path) -> None:
    """Take half of each eight clusters, so that whatever grows lies in pieces: the master file table above all."""
    with path.open("r+b") as stream:
        data = stream.read()
        [(place, _)] = volume_of(data)._places(volume_of(data)._file(6).find(Kind.DATA))
        bits = bytearray(data[place : place + volume_of(data).geometry.clusters // 8])
        for index in range(8, len(bits) - 512):
            bits[index] |= 0xF0
        stream.seek(place)
        stream.write(bits)


def volume_of(data: bytes, changes: Mapping[int, bytes] | None = None) -> Ntfs:
    """The volume, some bytes of it changed: offset → bytes."""
    return read_ntfs(reading(data, changes or {}), len(data))


def reading(data: bytes, changes: Mapping[int, bytes]) -> Read:
    def read(offset: int, length: int) -> bytes:
        out = bytearray(data[offset : offset + length])
        for at, value in changes.items():
            for index, byte in enumerate(value):
                if offset <= at + index < offset + len(out):
                    out[at + index - offset] = byte
        return bytes(out)

    return read


@pytest.fixture(scope="module", params=list(MAKES.values()), ids=list(MAKES))
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("ntfs")
    return make(folder / "volume", folder / "tree", *request.param).read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("ntfs")
    return make(folder / "volume", folder / "tree", length=16 * MIB, many=40).read_bytes()


@pytest.fixture(scope="module")
def scattered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume whose master file table lies in so many pieces that it takes several records to tell of them."""
    folder = tmp_path_factory.mktemp("ntfs")
    path = folder / "volume"
    with path.open("wb") as stream:
        stream.truncate(LENGTH)
    run("mkntfs", "-F", "-Q", "-q", path)
    scatter(path)
    return fill(path, tree(folder / "tree", 4500))


def test_it_is_told_by_its_signature(data: bytes) -> None:
    assert file_system_of(reading(data, {})) is FileSystem.NTFS


def test_files_are_found_and_read(data: bytes) -> None:
    volume = volume_of(data)
    volume.check_usable()
    found = volume.find("/windows/PANTHER/unattend.xml")
    assert found
    assert found.path == "/Windows/Panther/Unattend.xml"
    assert volume.contents(found.file) == b"old" * 5000
    many = volume.find("/many")
    assert many
    assert len(volume.entries(many.file)) == 700
    for number in (0, 1, 6, 699):
        file = volume.find(f"/many/a-name-that-takes-some-room-{number:05}")
        assert file
        assert volume.contents(file.file) == b"x" * (number % 7 * 300)
    assert volume.find("/many/nothing") is None
    assert volume.find("/Windows/Panther/Unattend.xml/below") is None


def test_a_file_with_several_records_is_read(data: bytes) -> None:
    volume = volume_of(data)
    found = volume.find("/linked/0")
    assert found
    assert len(found.file.records) > 1
    assert volume.contents(found.file) == b"many names"


def test_as_many_clusters_are_free_as_ntfsinfo_counts(data: bytes, tmp_path: Path) -> None:
    volume, path = volume_of(data), tmp_path / "volume"
    path.write_bytes(data)
    counted = re.search(r"Free Clusters: (\d+)", run("ntfsinfo", "-m", path))
    assert counted
    assert sum(volume.is_free(cluster) for cluster in range(-2, volume.geometry.clusters + 9)) == int(counted[1])
    assert not volume.is_free(volume.geometry.mft)


def test_a_table_in_many_pieces_is_followed(scattered: Path) -> None:
    volume = volume_of(scattered.read_bytes())
    assert len(volume._file(0).records) > 1
    many = volume.find("/many")
    assert many
    assert len(volume.entries(many.file)) == 4500
    file = volume.find("/many/a-name-that-takes-some-room-04499")
    assert file
    assert volume.contents(file.file) == b"x" * (4499 % 7 * 300)


def test_little_is_needed(data: bytes, scattered: Path) -> None:
    for item in (data, scattered.read_bytes()):
        assert sum(length for _, length in volume_of(item).needed_for(FOLDERS, 9)) < 3 * MIB


def test_a_folder_inside_one_that_is_there_is_needed_and_named(plain: bytes) -> None:
    with pytest.raises(FileSystemError, match="/Windows/Other"):
        list(volume_of(plain).needed_for(["/Windows/Other/files"], 1))
    assert list(volume_of(plain).needed_for(["/Other/Windows/files"], 1))


def test_a_folder_is_no_file_to_replace(plain: bytes) -> None:
    volume = volume_of(plain)
    found = volume.find("/Windows/Panther")
    assert found
    with pytest.raises(FileSystemError) as caught:
        list(volume.needed_to_replace(found.file))
    assert caught.value.code == "file-system-file"


def record_at(data: bytes, number: int) -> int:
    volume = volume_of(data)
    [(place, _)] = volume._places(volume.table, number * volume.geometry.record_size, volume.geometry.record_size)
    return place


def attribute_at(data: bytes, number: int, kind: Kind) -> int:
    """Where an attribute begins on the volume."""
    start = record_at(data, number)
    at = start + int.from_bytes(data[start + 0x14 : start + 0x16], "little")
    while int.from_bytes(data[at : at + 4], "little") != kind:
        at += int.from_bytes(data[at + 4 : at + 8], "little")
    return at


def whole(volume: Ntfs) -> None:
    """All that is done with a volume: nothing outside it is named."""
    end = volume.geometry.clusters * volume.geometry.cluster_size
    volume.check_usable()
    for offset, length in bounded(volume.needed_for(FOLDERS, 3)):
        assert length > 0
        assert 0 <= offset <= offset + length <= end
    assert isinstance(volume.is_free(100), bool)
    for path in ("/Windows/Panther/unattend.xml", "/linked/0"):
        found = volume.find(path)
        if found:
            list(bounded(volume.needed_to_replace(found.file)))
            volume.contents(found.file)


def refused(data: bytes, changes: Mapping[int, bytes], code: str = "file-system-damaged") -> str:
    with pytest.raises(FileSystemError) as caught:
        whole(volume_of(data, changes))
    assert caught.value.code == code
    assert caught.value.advice
    return caught.value.message


def journal(data: bytes) -> int:
    volume = volume_of(data)
    return next(volume._places(volume._file(2).find(Kind.DATA)))[0]


def restart_page(entry: int, in_use: int, flags: int, version: tuple[int, int] = (1, 1)) -> bytes:
    area = struct.pack("<QHHHH", entry, 1, 0xFFFF, in_use, flags)
    head = b"RSTR".ljust(0x18, b"\0") + struct.pack("<HHH", 0x30, version[1], version[0])
    return head.ljust(0x30, b"\0") + area


def test_a_volume_in_use_is_refused(plain: bytes) -> None:
    dirty = attribute_at(plain, 3, Kind.VOLUME_INFORMATION) + 24 + 10
    refused(plain, {dirty: b"\1"}, "file-system-unclean")
    log = journal(plain)
    refused(plain, {log: restart_page(7, 0, 0)}, "file-system-unclean")
    refused(plain, {log: restart_page(7, 0, 2), log + 4096: restart_page(8, 0, 0)}, "file-system-unclean")
    whole(volume_of(plain, {log: restart_page(8, 0, 2), log + 4096: restart_page(7, 0, 0)}))
    whole(volume_of(plain, {log: restart_page(8, 0xFFFF, 0)}))
    refused(plain, {log: restart_page(8, 0xFFFF, 0, (2, 0))}, "file-system-unclean")


@pytest.mark.parametrize("flag", [0x400, 0x800, 0x4000])
def test_a_folder_that_is_compressed_encrypted_or_a_link_is_refused(plain: bytes, flag: int) -> None:
    found = volume_of(plain).find("/Windows/Panther")
    assert found
    at = attribute_at(plain, found.file.number, Kind.STANDARD_INFORMATION) + 24 + 32
    refused(plain, {at: struct.pack("<I", flag)}, "file-system-folder-kind")


def test_a_hibernated_volume_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "volume", tmp_path / "tree", length=16 * MIB, many=1)
    image = tmp_path / "image"
    image.write_bytes(bytes(9000))
    run("ntfscp", path, image, "/hiberfil.sys")
    data = path.read_bytes()
    whole(volume_of(data))
    [number] = [value for name, value in volume_of(data).entries(volume_of(data)._file(5)).items() if "hiber" in name]
    attribute = attribute_at(data, number, Kind.DATA)
    head = next(volume_of(data)._places(volume_of(data)._file(number).find(Kind.DATA)))[0]
    refused(data, {head: b"HIBR"}, "file-system-unclean")
    refused(data, {attribute + 0x30: struct.pack("<QQ", 100, 100)}, "file-system-unclean")


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0x03, b"XTFS"),
        (0x0B, b"\0\0"),
        (0x0B, b"\xff\xff"),
        (0x0D, b"\0"),
        (0x0D, b"\x03"),
        (0x0D, b"\x81"),
        (0x28, bytes(8)),
        (0x28, b"\xff" * 8),
        (0x30, b"\xff" * 8),
        (0x30, bytes(8)),
        (0x30, b"\x05"),
        (0x40, b"\0"),
        (0x40, b"\x7f"),
        (0x40, b"\x80"),
    ],
)
def test_absurd_numbers_in_the_boot_sector_are_refused(plain: bytes, offset: int, value: bytes) -> None:
    refused(plain, {offset: value})


def test_a_volume_that_is_cut_short_is_refused(plain: bytes) -> None:
    with pytest.raises(FileSystemError):
        volume_of(plain[: 8 * MIB])
    with pytest.raises(FileSystemError):
        volume_of(b"")
    for end in (100, 8 * 4096, 4 * MIB):  # its length is right, and it ends all the same
        with pytest.raises(FileSystemError):
            whole(read_ntfs(reading(plain[:end], {}), len(plain)))


LONG_RUN = bytes.fromhex("18 ffffffffffffff7f 01 00")
NO_END = bytes.fromhex("88 88888888")
NEGATIVE = bytes.fromhex("11 01 ff 00")
HOLE_FOREVER = bytes.fromhex("06 ffffffffffff 00")


@pytest.mark.parametrize("runs", [LONG_RUN, NO_END, NEGATIVE, HOLE_FOREVER, b"\0"])
@pytest.mark.parametrize(("number", "kind"), [(0, Kind.DATA), (0, Kind.BITMAP), (2, Kind.DATA), (6, Kind.DATA)])
def test_runs_that_lead_nowhere_are_refused(plain: bytes, runs: bytes, number: int, kind: Kind) -> None:
    at = attribute_at(plain, number, kind)
    refused(plain, {at + int.from_bytes(plain[at + 0x20 : at + 0x22], "little"): runs})


def test_more_than_fits_into_memory_is_refused(plain: bytes) -> None:
    """A bitmap of holes and repetitions, as long as one likes, costs no more than its description."""
    at = attribute_at(plain, 6, Kind.DATA)
    clusters = volume_of(plain).geometry.clusters
    runs = b"".join(struct.pack("<BHB", 0x12, clusters - 1, 0) for _ in range(20))
    first = struct.pack("<BHB", 0x12, clusters - 1, 1)
    count = (clusters - 1) * 21
    assert count * 4096 > NEEDED_MAX
    changes = {
        at + 4: struct.pack("<I", 0x40 + 96),
        at + 0x18: struct.pack("<Q", count - 1),
        at + 0x20: struct.pack("<H", 0x40),
        at + 0x40: (first + runs).ljust(96, b"\0"),
        at + 0x40 + 96: b"\xff" * 4,
        record_at(plain, 6) + 0x18: struct.pack("<I", at + 0x40 + 104 - record_at(plain, 6)),
    }
    refused(plain, changes, "file-system-needs-much")


def index_root(data: bytes) -> int:
    return attribute_at(data, 5, Kind.INDEX_ROOT) + 0x20 + 8  # past its header and its name


@pytest.mark.parametrize(
    ("kind", "offset", "value"),
    [
        (Kind.INDEX_ROOT, 4, b"\x09"),
        (Kind.INDEX_ROOT, 4, b"\0\0\0\0"),
        (Kind.INDEX_ROOT, 4, b"\xf8\xff\xff\xff"),
        (Kind.INDEX_ROOT, 0x10, b"\xff\xff\xff\xff"),
        (Kind.INDEX_ROOT, 0x14, b"\xff\xff"),
        (Kind.STANDARD_INFORMATION, 0x14, b"\xff\xff"),
    ],
)
def test_damaged_attributes_of_a_folder_are_refused(plain: bytes, kind: Kind, offset: int, value: bytes) -> None:
    refused(plain, {attribute_at(plain, 5, kind) + offset: value})


def test_a_record_written_in_part_is_refused(plain: bytes) -> None:
    assert "in part" in refused(plain, {record_at(plain, 5) + 510: b"\x99\x99"})


def test_a_folder_that_names_what_is_none_is_refused(plain: bytes) -> None:
    """The root's first name leads to a record past the table, a free one, or one of another file."""
    volume = volume_of(plain)
    number = volume.entries(volume._file(5))["Windows"]
    raw = struct.pack("<Q", number)[:6]
    start = record_at(plain, 5)
    places = [at for at in range(start, start + 1024, 8) if plain[at : at + 6] == raw]
    linked = volume.find("/linked/0")
    assert linked
    blocks = volume._file(5).find(Kind.INDEX_ALLOCATION, "$I30")
    for place, length in volume._places(blocks):
        places += [at for at in range(place, place + length, 8) if plain[at : at + 6] == raw]
    for other in (2**47, 50, linked.file.records[1]):
        refused(plain, dict.fromkeys(places, struct.pack("<Q", other)[:6]))


def test_a_list_of_attributes_that_names_others_records_is_refused(plain: bytes) -> None:
    linked = volume_of(plain).find("/linked/0")
    assert linked
    more = linked.file.records[1]
    at = record_at(plain, more)
    refused(plain, {at + 0x20: struct.pack("<Q", 5)})


@pytest.fixture(scope="module")
def told(plain: bytes) -> list[int]:
    """Where each KiB is of what tells where things are: records, indexes, the boot sector."""
    few = ((offset, length) for offset, length in volume_of(plain).needed_for(FOLDERS, 3) if length <= 8192)
    return sorted({at for offset, length in few for at in range(offset, offset + length, 1024)})


@settings(max_examples=150, deadline=None)
@given(damage=st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6))
def test_damage_is_read_within_bounds_or_refused(
    plain: bytes, told: list[int], damage: list[tuple[int, bytes]]
) -> None:
    changes = {told[at // 1024 % len(told)] + at % 1024: value for at, value in damage}
    with suppress(FileSystemError):
        whole(volume_of(plain, changes))


@given(st.binary(max_size=600))
def test_no_bytes_at_all_are_mistaken(noise: bytes) -> None:
    with pytest.raises(FileSystemError):
        read_ntfs(lambda offset, length: (b"\xeb\x52\x90NTFS    " + noise)[offset : offset + length], MIB)
