"""VHDX files that qemu-img writes are read in place; damaged and dangerous ones are refused by name."""

import os
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric.disks.crc32c import crc32c
from fabric.disks.errors import ImageError
from fabric.disks.image import DiskLayout
from fabric.disks.vhdx import read_vhdx

MIB = 1024 * 1024
LENGTH = 24 * MIB + 512 * 7


def of(data: bytes) -> DiskLayout:
    return read_vhdx(lambda offset, length: data[offset : offset + length], len(data))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vhdx") / "disk.raw"
    source = random.Random(7)  # noqa: S311 - the same bytes at each run
    with path.open("wb") as stream:
        stream.truncate(LENGTH)
        for place in (0, 5 * MIB + 512, 17 * MIB, LENGTH - 4096):
            stream.seek(place)
            stream.write(source.randbytes(4096))
    return path


@pytest.fixture(scope="module")
def vhdx(raw: Path) -> bytes:
    return converted(raw, "block_size=1M")


def converted(raw: Path, options: str) -> bytes:
    path = raw.with_suffix(".vhdx")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vhdx", "-o", options, raw, path], check=True)
    return path.read_bytes()


def contents(layout: DiskLayout, data: bytes) -> bytes:
    return b"".join(
        bytes(piece.length) if piece.place is None else data[piece.place : piece.place + piece.length]
        for piece in layout.pieces(0, layout.length)
    )


@pytest.mark.parametrize("options", ["block_size=1M", "block_size=8M", "block_size=32M,subformat=fixed"])
def test_a_vhdx_reads_as_the_disk_inside_it(raw: Path, options: str) -> None:
    data = converted(raw, options)
    assert contents(of(data), data) == raw.read_bytes()


def test_blocks_that_were_never_written_lie_nowhere(vhdx: bytes) -> None:
    layout = of(vhdx)
    assert layout.length == LENGTH
    assert layout.data_length <= 5 * MIB


def test_the_check_sum_is_the_standards() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def refused(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        of(data)
    assert caught.value.message.endswith(".")
    return caught.value.code


def with_header(data: bytes, change: Callable[[bytearray], None]) -> bytes:
    """Both headers changed, their check sums right again."""
    out = bytearray(data)
    for offset in (64 * 1024, 128 * 1024):
        header = bytearray(out[offset : offset + 4096])
        if header[:4] != b"head":
            continue
        change(header)
        header[4:8] = bytes(4)
        header[4:8] = struct.pack("<I", crc32c(bytes(header)))
        out[offset : offset + 4096] = header
    return bytes(out)


def test_a_file_that_is_none_is_refused() -> None:
    assert refused(b"vhdxfilf" + bytes(MIB)) == "vhdx-signature"


def test_a_file_that_was_not_closed_properly_is_refused(vhdx: bytes) -> None:
    assert refused(with_header(vhdx, lambda header: header.__setitem__(slice(48, 64), b"l" * 16))) == "vhdx-log"


def test_another_version_is_refused(vhdx: bytes) -> None:
    assert refused(with_header(vhdx, lambda header: header.__setitem__(slice(66, 68), b"\2\0"))) == "vhdx-version"


def test_damaged_headers_are_refused(vhdx: bytes) -> None:
    out = bytearray(vhdx)
    for offset in (64 * 1024 + 100, 128 * 1024 + 100):
        out[offset] ^= 1
    assert refused(bytes(out)) == "vhdx-header"


def test_one_damaged_header_or_region_table_does_no_harm(vhdx: bytes) -> None:
    out = bytearray(vhdx)
    out[192 * 1024 + 20] ^= 1
    assert of(bytes(out)) == of(vhdx)


def test_damaged_region_tables_are_refused(vhdx: bytes) -> None:
    out = bytearray(vhdx)
    for offset in (192 * 1024 + 20, 256 * 1024 + 20):
        out[offset] ^= 1
    assert refused(bytes(out)) == "vhdx-regions"


def metadata_at(vhdx: bytes, item: bytes) -> int:
    """Where an item's value lies in the file; its entry names the place."""
    entry = vhdx.index(item)
    region = vhdx.index(b"metadata")
    (offset,) = struct.unpack_from("<I", vhdx, entry + 16)
    return region + int(offset)


FILE_PARAMETERS = bytes.fromhex("3767a1ca36fa434db3b633f0aa44e76b")
DISK_SIZE = bytes.fromhex("2442a52f1bcd7648b2115dbed83bf4b8")
SECTOR_SIZE = bytes.fromhex("1dbf41816fa90947ba47f233a8faab5f")


@pytest.mark.parametrize(
    ("item", "at", "value", "code"),
    [
        (FILE_PARAMETERS, 4, 2, "differencing"),
        (FILE_PARAMETERS, 0, 3 * MIB, "vhdx-metadata"),
        (SECTOR_SIZE, 0, 4096, "sector-size"),
        (DISK_SIZE, 4, 2**20, "disk-length"),
        (DISK_SIZE, 4, 256, "vhdx-block-table"),
    ],
)
def test_metadata_of_another_kind_is_refused(vhdx: bytes, item: bytes, at: int, value: int, code: str) -> None:
    out = bytearray(vhdx)
    struct.pack_into("<I", out, metadata_at(vhdx, item) + at, value)
    assert refused(bytes(out)) == code


def block_table(vhdx: bytes) -> int:
    entry = vhdx.index(bytes.fromhex("6677c22d23f600429d64115e9bfd4a08"))
    (offset,) = struct.unpack_from("<Q", vhdx, entry + 16)
    return int(offset)


@pytest.mark.parametrize("entry", [(2**30 << 20) | 6, 6, (1 << 20) | 7, (1 << 20) | 4])
def test_a_block_elsewhere_than_in_the_file_is_refused(vhdx: bytes, entry: int) -> None:
    out = bytearray(vhdx)
    struct.pack_into("<Q", out, block_table(vhdx), entry)
    assert refused(bytes(out)) == "vhdx-block-table"


def test_two_blocks_at_one_place_are_refused(vhdx: bytes) -> None:
    out = bytearray(vhdx)
    table = block_table(vhdx)
    out[table + 8 : table + 16] = out[table : table + 8]
    assert refused(bytes(out)) == "vhdx-block-table"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 4 * MIB - 1), st.integers(1, 255), st.integers(0, 5 * MIB))
def test_whatever_is_changed_or_cut_it_is_read_within_the_file_or_refused(
    vhdx: bytes, at: int, change: int, cut: int
) -> None:
    out = bytearray(vhdx)
    out[at] ^= change
    data = bytes(out[: len(out) - cut])
    try:
        layout = of(data)
    except ImageError:
        return
    assert all(extent.place + extent.length <= len(data) for extent in layout.extents)


def test_a_differencing_disk_is_refused_by_that_name(tmp_path: Path, vhdx: bytes) -> None:
    out = bytearray(vhdx)
    struct.pack_into("<I", out, metadata_at(vhdx, FILE_PARAMETERS) + 4, 2)
    path = tmp_path / "child.vhdx"
    path.write_bytes(out)
    with path.open("rb") as stream, pytest.raises(ImageError, match="differencing"):
        read_vhdx(lambda offset, length: os.pread(stream.fileno(), length, offset), len(out))
