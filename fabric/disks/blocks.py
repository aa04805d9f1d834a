"""A SHA-256 hash tree over blocks of 1 MiB: what a volume signature catalog records of a volume.

A leaf is SHA-256(0x00 || block); the last block may be shorter. A node is SHA-256(0x01 || left || right), the tree is
shaped as in RFC 6962 section 2.1: the left subtree holds the greatest power of two smaller than the number of leaves.
The prefixes keep a leaf from passing for a node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

BLOCK_LENGTH: Final = 1024 * 1024
HASH_LENGTH: Final = 32

_ZERO_BLOCK: Final = bytes(BLOCK_LENGTH)
_LOOK: Final = 64
_ZERO_LEAF: Final = hashlib.sha256(b"\0" + _ZERO_BLOCK).digest()


def leaf_hash(block: bytes | memoryview) -> bytes:
    """The leaf of one block of at most `BLOCK_LENGTH` bytes. Unwritten space is common, so zeros take a short cut."""
    # A memoryview compares byte by byte, bytes compare at the speed of memory; most blocks end at the first look.
    if len(block) == BLOCK_LENGTH and block[:_LOOK] == _ZERO_BLOCK[:_LOOK] and bytes(block) == _ZERO_BLOCK:
        return _ZERO_LEAF
    digest = hashlib.sha256(b"\0")
    digest.update(block)
    return digest.digest()


def zero_leaves(length: int) -> bytes:
    """The leaves of `length` zeros that begin at a block, together."""
    whole, rest = divmod(length, BLOCK_LENGTH)
    return _ZERO_LEAF * whole + (leaf_hash(_ZERO_BLOCK[:rest]) if rest else b"")


def block_count(length: int) -> int:
    """How many blocks a volume of `length` bytes has."""
    return -(-length // BLOCK_LENGTH)


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The root over the leaves; of no leaves SHA-256 of nothing, as in RFC 6962."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        # Pairing from the left and carrying an odd last node up gives the tree of RFC 6962.
        paired = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = [*paired, level[-1]] if len(level) % 2 else paired
    return level[0]


class BlockHasher:
    """Leaves of a volume whose bytes arrive in pieces of any size."""

    def __init__(self) -> None:
        self._leaves: list[bytes] = []
        self._rest = bytearray()
        self.length = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.length += len(data)
        view = memoryview(data)
        if self._rest:
            missing = BLOCK_LENGTH - len(self._rest)
            self._rest += view[:missing]
            view = view[missing:]
            if len(self._rest) < BLOCK_LENGTH:
                return
            self._leaves.append(leaf_hash(bytes(self._rest)))
            self._rest.clear()
        while len(view) >= BLOCK_LENGTH:
            self._leaves.append(leaf_hash(view[:BLOCK_LENGTH]))
            view = view[BLOCK_LENGTH:]
        self._rest += view

    def finish(self) -> tuple[bytes, ...]:
        """All leaves, the short last block included."""
        if self._rest:
            self._leaves.append(leaf_hash(bytes(self._rest)))
            self._rest.clear()
        return tuple(self._leaves)
