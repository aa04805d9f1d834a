"""Makes a VM's disk from a template in one pass: each byte that is read is hashed and, encrypted or not, written.

Some processes share the work, forked from the secure worker and shut off as it is. Each holds a few mebibytes of the
template at a time, so that memory does not grow with the disk. What is written while the hashes are still coming in is
worth nothing until the catalog has agreed with all of them: the caller throws the disk away otherwise.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final

from fabric.disks.blocks import BLOCK_LENGTH, BlockHash, split_hashes
from fabric.disks.catalog import Role
from fabric.disks.reading import OpenDisk
from fabric.hyperv.errors import HostError
from fabric.hyperv.sector_cipher import SPARE, sector_cipher
from hgs.keyprotection.secret import Secret

CHUNK: Final = 4 * BLOCK_LENGTH
_AT_ONCE: Final = 4
"""Chunks that a process takes at a time: to hand them over takes time as well."""
_MOST_PROCESSES: Final = 8
_PR_SET_PDEATHSIG: Final = 1
_LARGE_PAGE: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A volume of the template and where it goes: `length` bytes from `start` of the template to `target` of the disk.

    With a `volume_key` they are the payload of an encrypted volume; without `target` they are hashed only.
    """

    role: Role
    start: int
    length: int
    target: int | None = None
    volume_key: Secret | None = field(default=None, repr=False)


Report = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


class _Maker:
    """One process's share of the work."""

    def __init__(self, disk: OpenDisk, target: int, parts: Sequence[Part], by: BlockHash) -> None:
        self._by = by
        self._disk = disk
        self._target = target
        self._parts = parts
        self._ciphers = [sector_cipher(part.volume_key) if part.volume_key else None for part in parts]
        self._direct = _unbuffered(target)
        self._plaintext = large_pages(BLOCK_LENGTH)
        self._written = large_pages(CHUNK + SPARE)
        self._zeros = memoryview(bytes(BLOCK_LENGTH))

    def carry_out(self, index: int, at: int) -> bytes:
        """Hash and write one chunk of a part; gives the hashes of its blocks."""
        part, cipher = self._parts[index], self._ciphers[index]
        length = min(CHUNK, part.length - at)
        out, hashes = self._written, bytearray()
        for begin in range(0, length, BLOCK_LENGTH):
            size = min(BLOCK_LENGTH, length - begin)
            plaintext = self._read(part.start + at + begin, size)
            hashes += self._by.of(plaintext)
            if cipher is not None:
                cipher.encrypt(at + begin, plaintext, out[begin:])
            else:
                out[begin : begin + size] = plaintext
        if part.target is not None:
            _write(self._direct if cipher else self._target, out[:length], part.target + at)
        return bytes(hashes)

    def _read(self, start: int, length: int) -> memoryview:
        """Into memory of this process first: what is hashed and what is written are the same bytes."""
        if self._disk.layout.is_zero(start, length):
            return self._zeros[:length]
        block = self._plaintext[:length]
        self._disk.read_into(start, block)
        return block


_maker: _Maker | None = None
"""What this process works with; set in forked processes alone, so that nothing secret passes through a pipe."""


@dataclass(frozen=True)
class Making:
    """A disk that is being made."""

    _parts: Sequence[Part]
    _chunks: Sequence[tuple[int, int]]
    _coming: Iterator[bytes]

    def hashes(self, report: Report) -> dict[Role, tuple[bytes, ...]]:
        """The hashes of each part's blocks, once all of it is written.

        Raises `HostError` where the machine fails, EOFError and ValueError for a disk shorter than its parts, OSError.
        """
        total, done = sum(part.length for part in self._parts), 0
        hashes: dict[Role, bytearray] = {part.role: bytearray() for part in self._parts}
        try:
            for (index, at), found in zip(self._chunks, self._coming, strict=True):
                part = self._parts[index]
                hashes[part.role] += found
                done += min(CHUNK, part.length - at)
                report(done, total)
        except BrokenProcessPool:
            raise HostError(
                "disk-making-died",
                "A process that was making the disk ended early.",
                "Look whether the machine has enough memory, then retry.",
            ) from None
        return {role: split_hashes(found) for role, found in hashes.items()}


@contextmanager
def making_disk(disk: OpenDisk, target: int, parts: Sequence[Part], by: BlockHash) -> Iterator[Making]:
    """Write the parts to the open file `target` (of its full length already), beside what the block does meanwhile.

    `by` says how blocks are hashed. To leave the block early stops the work.
    """
    chunks = [(index, at) for index, part in enumerate(parts) for at in range(0, part.length, CHUNK)]
    with _processes(disk, target, parts, by) as pool:
        yield Making(parts, chunks, pool.map(_carry_out, chunks, chunksize=_AT_ONCE))


@contextmanager
def _processes(disk: OpenDisk, target: int, parts: Sequence[Part], by: BlockHash) -> Iterator[ProcessPoolExecutor]:
    # More than cores: while some wait for the disk, others compute.
    count = min(3 * len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    arguments = (disk, target, parts, by)
    pool = ProcessPoolExecutor(count, mp_context=get_context("fork"), initializer=_begin, initargs=arguments)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def large_pages(length: int) -> memoryview:
    """Zeroed memory on as few pages as there can be: a disk takes what lies together in fewer, longer requests.

    Written from ordinary pages, which lie anywhere, the same disk was a quarter slower.
    """
    memory = mmap.mmap(-1, length + _LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a machine may have no such pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    begin = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % _LARGE_PAGE
    return memoryview(memory)[begin : begin + length]


def _unbuffered(target: int) -> int:
    """The open file again, for writes that pass by the page cache: the VM reads its disk much later, if at all.

    To fill the cache would take longer than to hash and encrypt. Where a file system knows no such writes, as ever.
    """
    try:
        return os.open(f"/proc/self/fd/{target}", os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return target


def _begin(disk: OpenDisk, target: int, parts: Sequence[Part], by: BlockHash) -> None:
    """The first thing in each process: it ends with the secure worker, however that ends."""
    global _maker
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _maker = _Maker(disk, target, parts, by)


def _carry_out(chunk: tuple[int, int]) -> bytes:
    if _maker is None:
        raise RuntimeError("this process was not begun")
    return _maker.carry_out(*chunk)


def patch(target: int, part: Part, changes: Sequence[tuple[int, bytes]]) -> None:
    """Write changed pages, (offset in the volume, bytes), over an encrypted part."""
    if part.volume_key is None or part.target is None:
        raise ValueError("changes are for an encrypted part")
    cipher = sector_cipher(part.volume_key)
    for offset, page in changes:
        out = memoryview(bytearray(len(page) + SPARE))
        cipher.encrypt(offset, memoryview(page), out)
        _write(target, out[: len(page)], part.target + offset)


def _write(target: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(target, data, offset)
        data, offset = data[written:], offset + written
