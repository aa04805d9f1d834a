"""The hash tree over 1 MiB blocks."""

import hashlib

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.disks.blocks import (
    BLOCK_LENGTH,
    BlockHash,
    BlockHasher,
    apart,
    block_count,
    block_hashes,
    leaf_hash,
    tree_root,
    zero_hashes,
)


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
    assert BlockHash.BLAKE3.of(bytes(BLOCK_LENGTH)) == blake3(bytes(BLOCK_LENGTH)).digest()


def test_blake3_is_that_of_its_specification() -> None:
    """The first of the official test vectors, and the first byte of the second."""
    empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert BlockHash.BLAKE3.of(b"").hex() == empty
    assert BlockHash.BLAKE3.of(b"\0").hex().startswith("2d3adedff11b61f1")


@given(st.integers(0, 2 * BLOCK_LENGTH + 5), st.permutations(list(BlockHash)))
@settings(max_examples=10, deadline=None)
def test_hashes_of_a_block_stand_together_and_come_apart_again(length: int, by: list[BlockHash]) -> None:
    data = bytes(length)
    blocks = [data[at : at + BLOCK_LENGTH] for at in range(0, length, BLOCK_LENGTH)]
    together = b"".join(block_hashes(block, by) for block in blocks)
    assert zero_hashes(length, by) == together
    assert apart(together, by) == {each: tuple(each.of(block) for block in blocks) for each in by}


def test_a_node_cannot_pass_for_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != tree_root([left, right])
