"""Disks are read and hashed where their bytes lie, on every core, the same as if they lay in one piece."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fabric.disks.blocks import BLOCK_LENGTH, BlockHasher
from fabric.disks.image import DiskLayout, Extent
from fabric.disks.reading import GROUP, OpenDisk, hash_blocks

MIB = BLOCK_LENGTH
LENGTH = 19 * MIB + 512 * 5


@contextmanager
def disk_in(folder: Path) -> Iterator[tuple[OpenDisk, bytes]]:
    """A disk in two parts in the wrong order, with zeros before, between and behind them; and its bytes."""
    first, second = os.urandom(5 * MIB + 4096), os.urandom(3 * MIB)
    file = folder / "file"
    file.write_bytes(b"x" * 512 + second + first)
    layout = DiskLayout(LENGTH, (Extent(MIB // 2, len(first), 512 + len(second)), Extent(12 * MIB, len(second), 512)))
    plain = bytearray(LENGTH)
    plain[MIB // 2 : MIB // 2 + len(first)] = first
    plain[12 * MIB : 15 * MIB] = second
    with file.open("rb") as stream:
        yield OpenDisk(stream.fileno(), layout), bytes(plain)


def plainly(data: bytes) -> bytes:
    hasher = BlockHasher()
    hasher.update(data)
    return b"".join(hasher.finish())


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize(("start", "length"), [(0, LENGTH), (512, LENGTH - 512), (6 * MIB, 5 * MIB), (MIB, 100)])
def test_leaves_are_those_of_the_bytes_in_order(tmp_path: Path, cores: int, start: int, length: int) -> None:
    with disk_in(tmp_path) as (disk, plain):
        assert disk.read(start, length) == plain[start : start + length]
        leaves = b"".join(hash_blocks(disk, start, length, cores=cores))
    assert leaves == plainly(plain[start : start + length])


def test_hashing_goes_on_from_any_block(tmp_path: Path) -> None:
    with disk_in(tmp_path) as (disk, plain):
        rest = b"".join(hash_blocks(disk, 0, LENGTH, first=7))
    assert rest == plainly(plain)[7 * 32 :]


def test_hashing_stops_when_nobody_asks_on(tmp_path: Path) -> None:
    with disk_in(tmp_path) as (disk, _):
        leaves = hash_blocks(disk, 0, LENGTH)
        assert len(next(leaves)) == GROUP * 32
        leaves.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hash")]


def test_a_file_that_is_shorter_than_its_layout_is_an_error(tmp_path: Path) -> None:
    with disk_in(tmp_path) as (disk, _):
        os.truncate(tmp_path / "file", 2 * MIB)
        with pytest.raises(EOFError):
            b"".join(hash_blocks(disk, 0, LENGTH))
