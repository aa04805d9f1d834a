"""The hash tree over 1 MiB blocks."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.disks.blocks import BLOCK_LENGTH, BlockHasher, block_count, leaf_hash, tree_root


def reference_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + reference_root(leaves[:split]) + reference_root(leaves[split:])).digest()


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70))
def test_the_root_is_that_of_rfc_6962(leaves: list[bytes]) -> None:
    assert tree_root(leaves) == reference_root(leaves)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3 * BLOCK_LENGTH + 5), st.lists(st.integers(1, 2**21), max_size=6), st.binary(max_size=9))
def test_leaves_do_not_depend_on_how_the_bytes_arrive(length: int, pieces: list[int], seed: bytes) -> None:
    data = (seed or b"\0") * (length // max(1, len(seed)) + 1)
    data = data[:length]
    hasher, position = BlockHasher(), 0
    for piece in pieces:
        hasher.update(data[position : position + piece])
        position += piece
    hasher.update(data[position:])
    expected = [leaf_hash(data[at : at + BLOCK_LENGTH]) for at in range(0, length, BLOCK_LENGTH)]
    assert list(hasher.finish()) == expected
    assert block_count(length) == len(expected)


def test_the_short_cut_for_zeros_gives_the_true_hash() -> None:
    assert leaf_hash(bytes(BLOCK_LENGTH)) == hashlib.sha256(b"\0" + bytes(BLOCK_LENGTH)).digest()


def test_a_node_cannot_pass_for_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != tree_root([left, right])
