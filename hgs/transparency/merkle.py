"""The Merkle tree of a log (RFC 6962, section 2.1; RFC 9162, section 2.1) over SHA-256.

    leaf   SHA-256(00 ‖ entry)          inner node  SHA-256(01 ‖ left ‖ right)          empty tree  SHA-256("")

A tree of any size is a row of perfect subtrees, the largest on the left: one for each 1 in the binary size. Their
hashes, the *frontier*, are all that is needed to go on appending and to know the root. Proofs are made from the hashes
of perfect subtrees, asked for by (level, index): the one whose leaves are index·2^level up to (index+1)·2^level.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Self

from hgs.transparency.errors import TreeError

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
SIZE_MAX: Final = (1 << 63) - 1

NodeHash = Callable[[int, int], bytes]
"""(level, index) → hash of that perfect subtree."""

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf."""
    return _sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return _sha256(_NODE + left + right).digest()


class Frontier:
    """The right edge of a growing tree: its size and the hashes of its perfect subtrees, the largest first.

    Serialised: these hashes, 32 bytes each, nothing else; the size tells how many there are.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._hashes: list[bytes] = []

    @classmethod
    def parse(cls, size: int, data: bytes) -> Self:
        """Read the frontier of a tree of `size` leaves. Raises TreeError."""
        if not 0 <= size <= SIZE_MAX:
            raise TreeError("tree-size", f"A tree cannot have {size} leaves.")
        if len(data) != HASH_SIZE * size.bit_count():
            raise TreeError(
                "frontier-length",
                f"The frontier of a tree of {size} leaves has {HASH_SIZE * size.bit_count()} bytes, not {len(data)}.",
            )
        frontier = cls()
        frontier._size = size
        frontier._hashes = split_hashes(data)
        return frontier

    def serialise(self) -> bytes:
        """The hashes, from left to right."""
        return b"".join(self._hashes)

    def copy(self) -> Self:
        """Another frontier of the same tree, which grows on its own."""
        again = type(self)()
        again._size = self._size
        again._hashes = self._hashes.copy()
        return again

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._size

    def append(self, leaf: bytes) -> None:
        """Append a leaf by its hash."""
        self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaves by their hashes. Raises TreeError for something that is no hash, with what came before kept."""
        hashes, size = self._hashes, self._size
        try:
            for leaf in leaves:
                if len(leaf) != HASH_SIZE:
                    raise TreeError("hash-length", f"A hash has {HASH_SIZE} bytes, not {len(leaf)}.")
                node, rest = leaf, size
                while rest & 1:
                    node = _sha256(_NODE + hashes.pop() + node).digest()
                    rest >>= 1
                hashes.append(node)
                size += 1
        finally:
            self._size = size

    def root(self) -> bytes:
        """The root of the tree."""
        return _fold(self._hashes)


def split_hashes(data: bytes) -> list[bytes]:
    """Hashes that were written one after another. Raises TreeError."""
    if len(data) % HASH_SIZE:
        raise TreeError("hash-length", f"{len(data)} bytes are not a row of hashes of {HASH_SIZE} bytes.")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root of a perfect tree over a power of two of hashes. Raises TreeError."""
    if len(hashes).bit_count() != 1:
        raise TreeError("not-perfect", f"{len(hashes)} hashes are not a perfect tree.")
    row = list(hashes)
    while len(row) > 1:
        row = [_sha256(_NODE + row[at] + row[at + 1]).digest() for at in range(0, len(row), 2)]
    return row[0]


def _fold(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def _split(begin: int, end: int) -> int:
    """Where RFC 6962 divides the leaves [begin, end): after the largest power of two smaller than their number."""
    return begin + (1 << (end - begin - 1).bit_length() - 1)


def _range_hash(begin: int, end: int, node: NodeHash) -> bytes:
    """The tree hash of the leaves [begin, end), which RFC 6962's division of a tree has led to."""
    hashes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        hashes.append(node(level, begin >> level))
        begin += 1 << level
    return _fold(hashes)


def inclusion_proof(index: int, size: int, node: NodeHash) -> list[bytes]:
    """The hashes that lead from the leaf `index` to the root of a tree of `size` leaves. Raises TreeError."""
    if not 0 <= index < size:
        raise TreeError("no-such-leaf", f"A tree of {size} leaves has no leaf {index}.")
    begin, end, path = 0, size, []
    while end - begin > 1:
        middle = _split(begin, end)
        if index < middle:
            path.append(_range_hash(middle, end, node))
            end = middle
        else:
            path.append(_range_hash(begin, middle, node))
            begin = middle
    path.reverse()
    return path


def consistency_proof(old_size: int, size: int, node: NodeHash) -> list[bytes]:
    """The hashes that show that a tree of `size` leaves begins with that of `old_size` leaves. Raises TreeError.

    Every tree begins with the empty one, which takes no hash to show.
    """
    if not 0 <= old_size <= size:
        raise TreeError("no-such-tree", f"A tree of {size} leaves does not begin with one of {old_size}.")
    if old_size == 0:
        return []
    begin, end, path = 0, size, []
    while end != old_size:
        middle = _split(begin, end)
        if old_size <= middle:
            path.append(_range_hash(middle, end, node))
            end = middle
        else:
            path.append(_range_hash(begin, middle, node))
            begin = middle
    if begin:
        path.append(_range_hash(begin, end, node))
    path.reverse()
    return path


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with hash `leaf` is number `index` of the tree (RFC 9162, 2.1.3.2). Raises TreeError."""
    refused = TreeError("not-included", f"The proof does not show entry {index} in a log of {size} entries.")
    if not 0 <= index < size or any(len(one) != HASH_SIZE for one in proof):
        raise refused
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise refused
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    if last or not hmac.compare_digest(node, root):
        raise refused


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the second tree begins with the first (RFC 9162, 2.1.4.2). Raises TreeError."""
    refused = TreeError(
        "not-consistent", f"The proof does not show that a log of {size} entries began as that of {old_size}."
    )
    if not 0 <= old_size <= size or any(len(one) != HASH_SIZE for one in proof):
        raise refused
    if old_size in (0, size):
        before = EMPTY_ROOT if old_size == 0 else root
        if proof or not hmac.compare_digest(old_root, before):
            raise refused
        return
    hashes = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    found = _walk(old_size - 1, size - 1, hashes)
    if found is None or not (hmac.compare_digest(found[0], old_root) and hmac.compare_digest(found[1], root)):
        raise refused


def _walk(place: int, last: int, hashes: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Both roots that a consistency proof leads to; None if it is too short or too long."""
    while place & 1:
        place, last = place >> 1, last >> 1
    if not hashes:
        return None
    old = new = hashes[0]
    for one in hashes[1:]:
        if last == 0:
            return None
        if place & 1 or place == last:
            old, new = node_hash(one, old), node_hash(one, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, one)
        place, last = place >> 1, last >> 1
    return None if last else (old, new)
