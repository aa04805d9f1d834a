"""Reads a volume again after it was verified, and verifies what it reads again: the file may have changed meanwhile."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from fabric.disks.blocks import BLOCK_LENGTH, leaf_hash
from fabric.disks.catalog import Volume
from fabric.disks.errors import DiskChanged
from fabric.disks.reading import OpenDisk

_KEPT: Final = 16
"""Blocks that stay in memory: file systems keep what belongs together close together."""


class VerifiedVolume:
    """A volume of a disk, block by block as its catalog says."""

    def __init__(self, disk: OpenDisk, volume: Volume) -> None:
        self._disk = disk
        self._volume = volume
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    @property
    def length(self) -> int:
        """Bytes of the volume."""
        return self._volume.length

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the volume, less at its end. Raises `DiskChanged`."""
        end = min(offset + length, self._volume.length)
        out = bytearray()
        for index in range(offset // BLOCK_LENGTH, -(-end // BLOCK_LENGTH)):
            begin = index * BLOCK_LENGTH
            out += self._block(index)[max(offset - begin, 0) : end - begin]
        return bytes(out)

    def _block(self, index: int) -> bytes:
        if index in self._blocks:
            self._blocks.move_to_end(index)
            return self._blocks[index]
        start = index * BLOCK_LENGTH
        data = self._disk.read(self._volume.offset + start, min(BLOCK_LENGTH, self._volume.length - start))
        if leaf_hash(data) != self._volume.leaves[index]:
            place = self._volume.offset + start
            raise DiskChanged([(self._volume.role.phrase, place, place + len(data))])
        self._blocks[index] = data
        if len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return data
