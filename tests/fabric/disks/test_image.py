"""A disk's layout tells where each byte lies in its file."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.disks.image import DiskLayout, Extent, joined

LENGTH = 64


@st.composite
def layouts(draw: st.DrawFn) -> tuple[DiskLayout, bytes, bytes]:
    """A layout, the file it is of, and the disk it describes."""
    cuts = sorted(draw(st.sets(st.integers(0, LENGTH), max_size=8)))
    ranges = [(begin, end) for begin, end in pairwise(cuts) if draw(st.booleans())]
    file = draw(st.binary(min_size=LENGTH, max_size=LENGTH))
    disk = bytearray(LENGTH)
    extents = []
    for begin, end in ranges:
        place = draw(st.integers(0, LENGTH - (end - begin)))
        disk[begin:end] = file[place : place + end - begin]
        extents.append(Extent(begin, end - begin, place))
    return DiskLayout(LENGTH, tuple(extents)), file, bytes(disk)


def read(layout: DiskLayout, file: bytes, start: int, length: int) -> bytes:
    return b"".join(
        bytes(piece.length) if piece.place is None else file[piece.place : piece.place + piece.length]
        for piece in layout.pieces(start, length)
    )


@given(layouts(), st.integers(0, LENGTH), st.integers(0, LENGTH))
def test_pieces_of_any_range_give_the_bytes_of_the_disk(
    made: tuple[DiskLayout, bytes, bytes], first: int, second: int
) -> None:
    layout, file, disk = made
    start, end = sorted((first, second))
    assert read(layout, file, start, end - start) == disk[start:end]
    assert layout.is_zero(start, end - start) is all(piece.place is None for piece in layout.pieces(start, end - start))
    assert read(DiskLayout(LENGTH, joined(layout.extents)), file, start, end - start) == disk[start:end]


@given(layouts(), st.lists(st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)), max_size=4))
def test_a_hole_of_the_file_is_zeros_of_the_disk(
    made: tuple[DiskLayout, bytes, bytes], ranges: list[tuple[int, int]]
) -> None:
    layout, file, _ = made
    holes = [(min(pair), max(pair)) for pair in ranges]
    hollow = bytearray(file)
    for begin, end in holes:
        hollow[begin:end] = bytes(end - begin)
    thinner = layout.without_holes(holes)
    assert read(thinner, bytes(hollow), 0, LENGTH) == read(layout, bytes(hollow), 0, LENGTH)
    inside = {at for extent in thinner.extents for at in range(extent.place, extent.place + extent.length)}
    assert not any(begin <= at < end for at in inside for begin, end in holes)
    assert thinner.data_length <= layout.data_length


@pytest.mark.parametrize(
    "extents", [(Extent(4, 4, 0), Extent(0, 4, 0)), (Extent(0, 4, 0), Extent(3, 2, 0)), (Extent(62, 4, 0),)]
)
def test_extents_that_cannot_be_are_refused(extents: tuple[Extent, ...]) -> None:
    with pytest.raises(ValueError, match="disk"):
        DiskLayout(LENGTH, extents)


@pytest.mark.parametrize("at", [0, 4, 8, LENGTH])
def test_an_empty_range_has_no_pieces_and_is_zeros(at: int) -> None:
    layout = DiskLayout(LENGTH, (Extent(0, 8, 0),))
    assert layout.is_zero(at, 0)
    assert list(layout.pieces(at, 0)) == []


def test_a_range_beyond_the_disk_is_refused() -> None:
    with pytest.raises(ValueError, match="range"):
        list(DiskLayout(LENGTH, ()).pieces(LENGTH - 1, 2))
