"""What was hashed before signing was stopped: kept beside the catalog, and used again if the disk is the same.

The file says of which disk it is: device, inode, length, and times of last change, in nanoseconds. Somebody who can set
these back can also write the file, and whoever may write there may as well sign nothing at all; so it is for the
publisher's own folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fabric.disks.blocks import HASH_LENGTH, BlockHash, block_count
from fabric.disks.catalog import Role, regions
from fabric.disks.gpt import PartitionTable
from fabric.publishing.images import container_of

_BEGINNING: Final = b"guarded-fabric leaves 2\n"
_OF_A_BLOCK: Final = len(BlockHash) * HASH_LENGTH


@dataclass(slots=True)
class KeptHashes:
    """Hashes of the blocks of the operating system volume, all of a block together, as far as they are known."""

    _path: Path
    _head: bytes
    _most: int

    @classmethod
    def beside(cls, catalog: Path, disk: Path, table: PartitionTable, fresh: bool) -> KeptHashes:
        """For the catalog that will be written. `fresh` throws away what there is."""
        offset, length = regions(table)[Role.OPERATING_SYSTEM]
        status = disk.stat()
        identity = (
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns,
            container_of(disk).value, offset, length,
        )  # fmt: skip
        head = _BEGINNING + hashlib.sha256(json.dumps(identity).encode()).digest()
        kept = cls(catalog.with_name(f".{catalog.name}.leaves"), head, block_count(length) * _OF_A_BLOCK)
        if fresh:
            kept.forget()
        return kept

    def hashes(self) -> bytes:
        """What is known, of whole blocks; nothing where the disk is another one."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            data = b""
        known = b"".join(_records(data[len(self._head) :])) if data.startswith(self._head) else b""
        known = known if len(known) <= self._most else b""
        self._path.write_bytes(self._head + (_record(known) if known else b""))
        return known

    def add(self, hashes: bytes) -> None:
        """Some more, of the blocks that follow."""
        with self._path.open("ab") as stream:
            stream.write(_record(hashes))

    def forget(self) -> None:
        """They are not needed any more."""
        self._path.unlink(missing_ok=True)


def _record(hashes: bytes) -> bytes:
    return (len(hashes) // _OF_A_BLOCK).to_bytes(4) + hashlib.sha256(hashes).digest() + hashes


def _records(data: bytes) -> Iterator[bytes]:
    """Up to the first that is cut short or damaged: a crash may leave anything at the end."""
    at = 0
    while at + 4 + HASH_LENGTH < len(data):
        count = int.from_bytes(data[at : at + 4])
        digest, at = data[at + 4 : at + 4 + HASH_LENGTH], at + 4 + HASH_LENGTH
        hashes = data[at : at + count * _OF_A_BLOCK]
        if hashlib.sha256(hashes).digest() != digest:
            return
        yield hashes
        at += len(hashes)
