"""What is read of a volume again is what its catalog says, or nothing."""

import os
from pathlib import Path

import pytest

from fabric.disks.blocks import BLOCK_LENGTH, BlockHasher
from fabric.disks.catalog import Role, Volume
from fabric.disks.errors import DiskChanged
from fabric.disks.reading import open_disk
from fabric.hyperv.secure_worker.verified_volume import VerifiedVolume

OFFSET = 512 * 3
LENGTH = 20 * BLOCK_LENGTH + 4096


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, bytes, Volume]:
    data = os.urandom(OFFSET + LENGTH + 100)
    path = tmp_path / "disk"
    path.write_bytes(data)
    hasher = BlockHasher()
    hasher.update(data[OFFSET : OFFSET + LENGTH])
    return path, data[OFFSET : OFFSET + LENGTH], Volume(Role.OPERATING_SYSTEM, OFFSET, LENGTH, hasher.finish())


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 10), (BLOCK_LENGTH - 5, 10), (0, LENGTH), (LENGTH - 3, 100), (LENGTH, 5), (3 * BLOCK_LENGTH, BLOCK_LENGTH)],
)
def test_any_range_is_read(made: tuple[Path, bytes, Volume], offset: int, length: int) -> None:
    path, data, volume = made
    with open_disk(path) as disk:
        assert VerifiedVolume(disk, volume).read(offset, length) == data[offset : offset + length]


def test_a_change_after_the_first_look_is_noticed(made: tuple[Path, bytes, Volume]) -> None:
    path, _, volume = made
    with open_disk(path) as disk, path.open("r+b") as stream:
        reader = VerifiedVolume(disk, volume)
        reader.read(0, 10)
        stream.seek(OFFSET + 2 * BLOCK_LENGTH + 7)
        stream.write(b"changed")
        stream.flush()
        with pytest.raises(DiskChanged, match=f"bytes {OFFSET + 2 * BLOCK_LENGTH} to"):
            reader.read(2 * BLOCK_LENGTH + 4096, 10)
