"""Where the bytes of a disk lie in the file that holds it: what every container format comes down to.

Reading goes straight to those places; nothing is converted. Ranges that no extent covers are known zeros.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes `start` to `start + length` of the disk lie from `place` on in the file."""

    start: int
    length: int
    place: int

    @property
    def end(self) -> int:
        """The first byte of the disk behind it."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a disk: `place` is where it lies in the file, None for zeros that lie nowhere."""

    start: int
    length: int
    place: int | None


@dataclass(frozen=True)
class DiskLayout:
    """A disk of `length` bytes. `extents` are in order and do not overlap."""

    length: int
    extents: tuple[Extent, ...]

    def __post_init__(self) -> None:
        position = 0
        for extent in self.extents:
            if extent.start < position or extent.length <= 0 or extent.place < 0:
                raise ValueError("extents of a disk are in order, have bytes and do not overlap")
            position = extent.end
        if position > self.length:
            raise ValueError("the last extent goes beyond the disk")

    @property
    def data_length(self) -> int:
        """Bytes that lie in the file."""
        return sum(extent.length for extent in self.extents)

    def is_zero(self, start: int, length: int) -> bool:
        """Whether all of the range is known zeros, as an empty one is."""
        if not length:
            return True
        at = bisect_right(self._starts, start) - 1
        if at >= 0 and self.extents[at].end > start:
            return False
        return at + 1 == len(self.extents) or self.extents[at + 1].start >= start + length

    def pieces(self, start: int, length: int) -> Iterator[Piece]:
        """The range in order, without gaps. Raises ValueError for one that is not on the disk."""
        if not 0 <= start <= start + length <= self.length:
            raise ValueError("the range does not lie on the disk")
        position, end = start, start + length
        for extent in islice(self.extents, max(bisect_right(self._starts, start) - 1, 0), None):
            if extent.start >= end or position == end:
                break
            if extent.end <= position:
                continue
            if extent.start > position:
                yield Piece(position, extent.start - position, None)
                position = extent.start
            taken = min(extent.end, end) - position
            yield Piece(position, taken, extent.place + position - extent.start)
            position += taken
        if position < end:
            yield Piece(position, end - position, None)

    def without_holes(self, holes: Iterable[tuple[int, int]]) -> DiskLayout:
        """The same disk where the file itself has holes: (begin, end) ranges of the file that are known to be zeros."""
        found = _merged(holes)
        parts = (part for extent in self.extents for part in _around(extent, found))
        return DiskLayout(self.length, tuple(parts))

    @cached_property
    def _starts(self) -> list[int]:
        return [extent.start for extent in self.extents]


def joined(extents: Iterable[Extent]) -> tuple[Extent, ...]:
    """Extents in order, with neighbours that continue each other in the file made one."""
    out: list[Extent] = []
    for extent in extents:
        last = out[-1] if out else None
        if last and last.end == extent.start and last.place + last.length == extent.place:
            out[-1] = Extent(last.start, last.length + extent.length, last.place)
        else:
            out.append(extent)
    return tuple(out)


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if out and begin <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        elif begin < end:
            out.append((begin, end))
    return out


def _around(extent: Extent, holes: list[tuple[int, int]]) -> Iterator[Extent]:
    at, end = extent.place, extent.place + extent.length
    for begin, until in islice(holes, max(bisect_right(holes, (at, at)) - 1, 0), None):
        if begin >= end:
            break
        if begin > at:
            yield Extent(extent.start + at - extent.place, begin - at, at)
        at = max(at, min(until, end))
    if at < end:
        yield Extent(extent.start + at - extent.place, end - at, at)
