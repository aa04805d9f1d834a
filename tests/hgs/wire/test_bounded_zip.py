"""What opening a foreign archive costs is fixed before it is opened."""

import io
import tracemalloc
import zipfile

import pytest

from hgs.wire.bounded_zip import open_bounded
from tests.hgs.wire.archives import crowded


def archive_of(content: bytes) -> io.BytesIO:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("x", content)
    return target


def test_a_directory_is_read_up_to_its_limit_and_no_further() -> None:
    data = crowded(100)
    assert len(open_bounded(io.BytesIO(data), directory_max=4700, read_max=1).infolist()) == 100
    with pytest.raises(zipfile.BadZipFile):
        open_bounded(io.BytesIO(data), directory_max=4699, read_max=1)


def test_a_directory_over_the_limit_costs_nothing() -> None:
    data = io.BytesIO(crowded(700_000))
    tracemalloc.start()
    try:
        with pytest.raises(zipfile.BadZipFile):
            open_bounded(data, directory_max=1 << 20, read_max=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_member_is_read_in_pieces_up_to_the_limit_and_not_in_larger_ones() -> None:
    archive = open_bounded(archive_of(bytes(20_000)), directory_max=4096, read_max=10_000)
    with archive.open("x") as member:
        assert member.read(10_000) == bytes(10_000)
    with archive.open("x") as member, pytest.raises(zipfile.BadZipFile):
        member.read(10_001)
