"""A plaintext view of a volume, in memory, for programs that write files into file systems.

Programs such as debugfs want a file as long as the volume. This one holds only what they need: an anonymous file, empty
but for the blocks that they read. What they wrote is found by comparing it with the volume; nothing of it ever touches
a disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from fabric.hyperv.errors import HostError
from fabric.hyperv.memory_files import memory_file

PAGE: Final = 4096
_LARGEST_READ: Final = 1024 * 1024
_NOTHING: Final = bytes(PAGE)
Read = Callable[[int, int], bytes]
"""Gives exactly `length` bytes from `offset` of the volume."""


@dataclass(frozen=True)
class VolumeView:
    """`descriptor` is the file to hand to a program; `length` a multiple of `PAGE`."""

    descriptor: int
    length: int
    _read: Read
    _filled: set[int] = field(default_factory=set)

    def fill(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Put the volume's own bytes into these (offset, length) ranges, rounded to pages."""
        for offset, length in ranges:
            first, last = offset // PAGE, min(-(-(offset + length) // PAGE), self.length // PAGE)
            for start in range(first, last, _LARGEST_READ // PAGE):
                self._fill(start, min(start + _LARGEST_READ // PAGE, last))

    def _fill(self, first: int, last: int) -> None:
        if self._filled.issuperset(range(first, last)):
            return
        data = self._read(first * PAGE, (last - first) * PAGE)
        if data != bytes(len(data)):  # the file reads as zeros where nothing is in it
            os.pwrite(self.descriptor, data, first * PAGE)
        self._filled.update(range(first, last))

    def changes(self, unit: int, is_free: Callable[[int], bool]) -> Iterator[tuple[int, bytes]]:
        """(offset, new bytes) of each page that was written, in order.

        The file system's blocks have `unit` bytes; `is_free` tells for one of them, by number, whether nothing lay in
        it. Raises `HostError` where something was written over without having been read.
        """
        for page in self._present():
            now, before = os.pread(self.descriptor, PAGE, page * PAGE), self._read(page * PAGE, PAGE)
            if page not in self._filled:
                now = _combined(page, now, before, unit, is_free)
            if now != before:
                yield page * PAGE, now

    def _present(self) -> Iterator[int]:
        """The pages that have bytes in memory."""
        position = 0
        while position < self.length:
            try:
                begin = os.lseek(self.descriptor, position, os.SEEK_DATA)
            except OSError:  # nothing but a hole up to the end
                return
            position = os.lseek(self.descriptor, begin, os.SEEK_HOLE)
            yield from range(begin // PAGE, min(-(-position // PAGE), self.length // PAGE))


def _combined(page: int, now: bytes, before: bytes, unit: int, is_free: Callable[[int], bool]) -> bytes:
    """A page that was empty in the view, and of which one or more blocks were written."""
    out = bytearray(before)
    for at in range(0, PAGE, unit):
        written = now[at : at + unit]
        if is_free((page * PAGE + at) // unit):
            out[at : at + unit] = written
        elif written != _NOTHING[:unit]:
            raise HostError(
                "specialise-failed",
                "Placing the shielding data would have written over something else in the OS volume.",
                "The template's file system is damaged, or is made in a way that is not supported.",
            )
    return bytes(out)


@contextmanager
def view_of(read: Read, length: int) -> Iterator[VolumeView]:
    """An empty view of a volume of `length` bytes."""
    with memory_file("volume", length=length) as descriptor:
        yield VolumeView(descriptor, length, read)
