"""A log in memory, computed the plain way: what the package computes cleverly is compared with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hgs.transparency.merkle import NodeHash, leaf_hash


def plain_root(entries: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    middle = largest_power_below(len(entries))
    return hashlib.sha256(b"\x01" + plain_root(entries[:middle]) + plain_root(entries[middle:])).digest()


def plain_path(index: int, entries: Sequence[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1."""
    if len(entries) == 1:
        return []
    middle = largest_power_below(len(entries))
    if index < middle:
        return [*plain_path(index, entries[:middle]), plain_root(entries[middle:])]
    return [*plain_path(index - middle, entries[middle:]), plain_root(entries[:middle])]


def plain_consistency(old_size: int, entries: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """RFC 6962, section 2.1.2."""
    if old_size == len(entries):
        return [] if whole else [plain_root(entries)]
    middle = largest_power_below(len(entries))
    if old_size <= middle:
        return [*plain_consistency(old_size, entries[:middle], whole=whole), plain_root(entries[middle:])]
    return [*plain_consistency(old_size - middle, entries[middle:], whole=False), plain_root(entries[:middle])]


def largest_power_below(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def nodes_of(entries: Sequence[bytes]) -> NodeHash:
    """The hashes of perfect subtrees over the entries."""

    def node(level: int, index: int) -> bytes:
        begin, end = index << level, (index + 1) << level
        assert end <= len(entries)
        return plain_root(entries[begin:end])

    return node


def numbered(count: int) -> list[bytes]:
    """Entries that all differ."""
    return [index.to_bytes(4, "big") for index in range(count)]


def hashes_of(entries: Sequence[bytes]) -> list[bytes]:
    return [leaf_hash(entry) for entry in entries]
