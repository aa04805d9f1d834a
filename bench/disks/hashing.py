"""Hashing a volume: ours, all cores of hashlib alone, and the tools that are there."""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.disks.images import MEBIBYTE, warm
from fabric.disks.blocks import BlockHash
from fabric.disks.reading import hash_blocks, open_disk

_BUFFERS = 32


@dataclass(frozen=True)
class Hashing:
    """MB (10^6 bytes) a second; None where the tool is not installed.

    `ours` computes what the tools do, SHA-256; `ours_to_sign` BLAKE3 as well.
    """

    ours: float
    ours_to_sign: float
    hashlib_all_cores: float
    openssl: float | None
    veritysetup: float | None
    sha256sum: float | None


@dataclass(frozen=True)
class Sparse:
    """Seconds: all of a sparse VHDX, and its data alone as a raw file."""

    whole: float
    data_alone: float


def measure_full(disk: Path, rounds: int) -> Hashing:
    """Hash a whole raw disk, with its bytes in the page cache."""
    warm(disk)
    length = disk.stat().st_size
    ours, to_sign, alone = [], [], []
    for _ in range(rounds):  # in turns, so that other work on the machine meets both
        ours.append(_seconds(lambda: hash_disk(disk, (BlockHash.SHA256,))))
        to_sign.append(_seconds(lambda: hash_disk(disk)))
        alone.append(_seconds(lambda: _hashlib(length)))
    return Hashing(
        ours=length / min(ours) / 1e6,
        ours_to_sign=length / min(to_sign) / 1e6,
        hashlib_all_cores=length / min(alone) / 1e6,
        openssl=_tool(length, "openssl", "dgst", "-sha256", disk),
        veritysetup=_verity(disk, length),
        sha256sum=_tool(length, "sha256sum", disk),
    )


def measure_sparse(vhdx: Path, data: Path, rounds: int) -> Sparse:
    """Hash all of the disk in a VHDX, and the same data by itself."""
    warm(vhdx)
    warm(data)
    whole, alone = [], []
    for _ in range(rounds):
        whole.append(_seconds(lambda: hash_disk(vhdx)))
        alone.append(_seconds(lambda: hash_disk(data)))
    return Sparse(min(whole), min(alone))


def hash_disk(path: Path, by: Sequence[BlockHash] = tuple(BlockHash)) -> None:
    with open_disk(path) as disk:
        for _ in hash_blocks(disk, 0, disk.layout.length, by):
            pass


def _hashlib(length: int) -> None:
    """Blocks that lie in memory already: nothing is read, nothing is kept."""
    buffers = [os.urandom(MEBIBYTE) for _ in range(_BUFFERS)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for _ in threads.map(
            lambda number: hashlib.sha256(buffers[number % _BUFFERS]).digest(), range(length // MEBIBYTE)
        ):
            pass


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _tool(length: int, *command: object) -> float | None:
    try:
        seconds = _seconds(lambda: _run(*command))
    except FileNotFoundError:
        return None
    return length / seconds / 1e6


def _verity(disk: Path, length: int) -> float | None:
    tree = disk.with_suffix(".verity")
    try:
        return _tool(length, "/usr/sbin/veritysetup", "format", disk, tree)
    finally:
        tree.unlink(missing_ok=True)


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
