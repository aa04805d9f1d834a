"""Reads disks where their layout says the bytes lie, without a copy, and hashes them on every core.

Windows of the file are mapped into memory, a few mebibytes at a time, so that memory stays the same whatever the size
of the disk. A file that somebody else cuts short while it is mapped ends the process: read only files of your own.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fabric.disks.blocks import BLOCK_LENGTH, BlockHash, block_count, block_hashes, zero_hashes
from fabric.disks.image import DiskLayout, Extent, Piece
from fabric.disks.vhdx import SIGNATURE, read_vhdx

GROUP: Final = 8
"""Blocks that are hashed at one go."""


@dataclass(frozen=True, slots=True)
class OpenDisk:
    """A disk whose file is open for reading."""

    descriptor: int
    layout: DiskLayout

    def read(self, start: int, length: int) -> bytes:
        """Bytes of the disk. Raises ValueError for a range that is not on it, EOFError where the file is too short."""
        return b"".join(self._bytes(piece) for piece in self.layout.pieces(start, length))

    def read_within(self, start: int, length: int) -> bytes:
        """As `read`, of what there is of the range: less at the end of the disk. Raises as `read`."""
        begin = min(start, self.layout.length)
        return self.read(begin, min(length, self.layout.length - begin))

    def read_into(self, start: int, buffer: memoryview) -> None:
        """Fill a buffer with the bytes from `start` on; they stay, whatever becomes of the file. Raises as `read`."""
        for piece in self.layout.pieces(start, len(buffer)):
            with buffer[piece.start - start : piece.start - start + piece.length] as part:
                if piece.place is None:
                    part[:] = bytes(piece.length)
                elif os.preadv(self.descriptor, [part], piece.place) != piece.length:
                    raise EOFError("the disk's file is shorter than its layout says")

    def _bytes(self, piece: Piece) -> bytes:
        if piece.place is None:
            return bytes(piece.length)
        data = os.pread(self.descriptor, piece.length, piece.place)
        if len(data) != piece.length:
            raise EOFError("the disk's file is shorter than its layout says")
        return data

    @contextmanager
    def window(self, start: int, length: int) -> Iterator[memoryview | None]:
        """Bytes of the disk, mapped where they lie together; None where all of them are known zeros."""
        pieces = list(self.layout.pieces(start, length))
        if all(piece.place is None for piece in pieces):
            yield None
        elif len(pieces) > 1:
            yield memoryview(self.read(start, length))
        else:
            with mapped(self.descriptor, pieces[0].place or 0, length) as view:
                yield view


@contextmanager
def open_disk(path: Path) -> Iterator[OpenDisk]:
    """A VHDX, or a raw disk, which anything else is taken for. Raises `ImageError`, OSError."""
    with path.open("rb") as stream:
        descriptor, length = stream.fileno(), os.fstat(stream.fileno()).st_size
        if os.pread(descriptor, len(SIGNATURE), 0) == SIGNATURE:
            layout = read_vhdx(lambda offset, count: os.pread(descriptor, count, offset), length)
        else:
            layout = DiskLayout(length, (Extent(0, length, 0),) if length else ())
        yield OpenDisk(descriptor, layout.without_holes(file_holes(descriptor)))


def file_holes(descriptor: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of each range of an open file that takes no room and reads as zeros."""
    length = os.fstat(descriptor).st_size
    position = 0
    while position < length:
        begin = os.lseek(descriptor, position, os.SEEK_HOLE)
        if begin >= length:
            return
        try:
            position = os.lseek(descriptor, begin, os.SEEK_DATA)
        except OSError:  # no data up to the end
            position = length
        yield begin, position


@contextmanager
def mapped(descriptor: int, place: int, length: int) -> Iterator[memoryview]:
    """A range of a file in memory. Raises EOFError where the file is too short."""
    begin = place - place % mmap.ALLOCATIONGRANULARITY
    try:
        window = mmap.mmap(descriptor, place + length - begin, access=mmap.ACCESS_READ, offset=begin)
    except ValueError:
        raise EOFError("the disk's file is shorter than its layout says") from None
    with window:
        whole = memoryview(window)
        view = whole[place - begin :]
        try:
            yield view
        finally:
            view.release()
            whole.release()


def hash_blocks(
    disk: OpenDisk,
    start: int,
    length: int,
    by: Sequence[BlockHash] = (BlockHash.SHA256,),
    first: int = 0,
    cores: int | None = None,
) -> Iterator[bytes]:
    """The hashes of the blocks of a volume from block `first` on, as `block_hashes`, a few together, in order.

    Whoever stops asking stops the work. Raises as `OpenDisk.read`, OSError.
    """
    workers = cores or len(os.sched_getaffinity(0))
    waiting: deque[Future[bytes] | bytes] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="hash") as threads:
        try:
            for group in range(first, block_count(length), GROUP):
                begin = group * BLOCK_LENGTH
                size = min(GROUP * BLOCK_LENGTH, length - begin)
                if disk.layout.is_zero(start + begin, size):
                    waiting.append(zero_hashes(size, by))
                else:
                    waiting.append(threads.submit(_hashes, disk, start + begin, size, by))
                while len(waiting) >= 4 * workers or isinstance(waiting[0] if waiting else None, bytes):
                    yield _done(waiting.popleft())
            while waiting:
                yield _done(waiting.popleft())
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _done(hashes: Future[bytes] | bytes) -> bytes:
    return hashes if isinstance(hashes, bytes) else hashes.result()


def _hashes(disk: OpenDisk, start: int, length: int, by: Sequence[BlockHash]) -> bytes:
    with disk.window(start, length) as view:
        return zero_hashes(length, by) if view is None else hashes_of(view, by)


def hashes_of(view: memoryview, by: Sequence[BlockHash]) -> bytes:
    """The hashes of bytes that begin at a block."""
    hashes = bytearray()
    for at in range(0, len(view), BLOCK_LENGTH):
        with view[at : at + BLOCK_LENGTH] as block:
            hashes += block_hashes(block, by)
    return bytes(hashes)
