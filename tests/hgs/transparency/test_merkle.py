"""The tree against the vectors of the certificate-transparency reference and against RFC 6962 written down plainly."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.transparency.errors import TreeError
from hgs.transparency.merkle import (
    EMPTY_ROOT,
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    perfect_root,
)
from tests.hgs.transparency.logs import hashes_of, nodes_of, numbered, plain_consistency, plain_path, plain_root

LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
INCLUSION = {
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
CONSISTENCY = {
    (1, 1): (),
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
# Leaves are the two bytes of their number, little endian.
LARGER_ROOTS = {
    10: "VjWMPSYNtCuCNlF/RLnQy6HcwSk6CIipfxm+hettA+4=",
    15: "j4SulYmocFuxdeyp12xXCIgK6PekBcxzAIj4zbQzNEI=",
    16: "c+4Uc6BCMOZf/v3NZK1kqTUJe+bBoFtOhP+P3SayKRE=",
    100: "dUh9hYH88p0CMoHkdr1wC2szbhcLAXOejWpINIooKUY=",
    255: "SmdsuKUqiod3RX2jyF2M6JnbdE4QuTwwipfAowI4/i0=",
}
sizes = st.integers(1, 70)


def grown(entries: list[bytes]) -> Frontier:
    frontier = Frontier()
    frontier.extend(hashes_of(entries))
    return frontier


def test_leaves_and_nodes_hash_as_published() -> None:
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert node_hash(b"N123", b"N456").hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference(size: int) -> None:
    assert grown(LEAVES[:size]).root().hex() == ROOTS[size]


@pytest.mark.parametrize("size", LARGER_ROOTS)
def test_roots_of_larger_trees_are_those_of_the_reference(size: int) -> None:
    entries = [index.to_bytes(2, "little") for index in range(size)]
    assert grown(entries).root() == base64.b64decode(LARGER_ROOTS[size])


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_those_of_the_reference(index: int, size: int) -> None:
    proof = inclusion_proof(index, size, nodes_of(LEAVES))
    assert [one.hex() for one in proof] == list(INCLUSION[index, size])


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_proofs_are_those_of_the_reference(old: int, new: int) -> None:
    proof = consistency_proof(old, new, nodes_of(LEAVES))
    assert [one.hex() for one in proof] == list(CONSISTENCY[old, new])


@given(st.lists(st.binary(max_size=4), max_size=70), st.integers(0, 70))
def test_a_frontier_that_was_stored_in_between_goes_on_to_the_same_root(entries: list[bytes], at: int) -> None:
    begun = grown(entries[:at])
    again = Frontier.parse(begun.size, begun.serialise())
    again.extend(hashes_of(entries[at:]))
    assert again.size == len(entries)
    assert again.root() == plain_root(entries)
    assert Frontier.parse(again.size, again.serialise()).root() == again.root()


def test_a_copy_grows_on_its_own() -> None:
    first = grown(numbered(5))
    second = first.copy()
    second.append(leaf_hash(b"more"))
    assert (first.size, first.root()) == (5, plain_root(numbered(5)))
    assert second.root() == plain_root([*numbered(5), b"more"])


@pytest.mark.parametrize(
    ("size", "length", "code"),
    [(3, 32, "frontier-length"), (3, 96, "frontier-length"), (0, 32, "frontier-length"), (-1, 32, "tree-size")],
)
def test_a_frontier_of_another_length_than_its_size_says_is_refused(size: int, length: int, code: str) -> None:
    with pytest.raises(TreeError) as refused:
        Frontier.parse(size, bytes(length))
    assert refused.value.code == code


def test_something_that_is_no_hash_is_not_appended_and_harms_nothing() -> None:
    frontier = grown(numbered(3))
    with pytest.raises(TreeError):
        frontier.extend([leaf_hash(b"more"), b"short"])
    assert (frontier.size, frontier.root()) == (4, plain_root([*numbered(3), b"more"]))


@given(st.data(), sizes)
def test_inclusion_proofs_are_as_defined_and_verify(data: st.DataObject, size: int) -> None:
    entries = numbered(size)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, nodes_of(entries))
    assert proof == plain_path(index, entries)
    check_inclusion(leaf_hash(entries[index]), index, size, proof, plain_root(entries))


@given(st.data(), sizes)
def test_consistency_proofs_are_as_defined_and_verify(data: st.DataObject, size: int) -> None:
    entries = numbered(size)
    old = data.draw(st.integers(1, size))
    proof = consistency_proof(old, size, nodes_of(entries))
    assert proof == plain_consistency(old, entries)
    check_consistency(old, plain_root(entries[:old]), size, plain_root(entries), proof)


def test_every_log_begins_with_the_empty_one() -> None:
    entries = numbered(9)
    assert consistency_proof(0, 9, nodes_of(entries)) == []
    check_consistency(0, EMPTY_ROOT, 9, plain_root(entries), [])
    with pytest.raises(TreeError):
        check_consistency(0, plain_root(entries), 9, plain_root(entries), [])
    with pytest.raises(TreeError):
        check_consistency(0, EMPTY_ROOT, 9, plain_root(entries), [EMPTY_ROOT])


@given(st.data(), sizes)
def test_an_inclusion_proof_that_is_changed_proves_nothing(data: st.DataObject, size: int) -> None:
    entries = numbered(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root, leaf = plain_path(index, entries), plain_root(entries), leaf_hash(entries[index])
    changed = [
        (leaf_hash(b"another"), index, size, proof, root),
        (leaf, index, size, proof, leaf_hash(b"another")),
        (leaf, index, size, [*proof, root], root),
        (leaf, index, size, [root, *proof], root),
        (leaf, index, size, proof[:-1] if proof else [leaf], root),
        (leaf, index, size, [*proof[:-1], b"short"], root),
        (leaf, size, size, proof, root),
        (leaf, -1, size, proof, root),
    ]
    changed += [(leaf, other, size, proof, root) for other in range(size) if other != index]
    changed += [
        (leaf, index, size, [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]], root) for at in range(len(proof))
    ]
    for one in changed:
        with pytest.raises(TreeError):
            check_inclusion(*one)


@given(st.data(), st.integers(2, 70))
def test_a_consistency_proof_that_is_changed_proves_nothing(data: st.DataObject, size: int) -> None:
    entries = numbered(size)
    old = data.draw(st.integers(1, size - 1))
    proof, before, after = plain_consistency(old, entries), plain_root(entries[:old]), plain_root(entries)
    changed = [
        (old, leaf_hash(b"another"), size, after, proof),
        (old, before, size, leaf_hash(b"another"), proof),
        (old, before, size, after, [*proof, after]),
        (old, before, size, after, [after, *proof]),
        (old, before, size, after, proof[:-1]),
        (old, before, size, after, []),
        (size + 1, before, size, after, proof),
        (size, before, size, after, proof),
    ]
    changed += [
        (old, before, size, after, [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]]) for at in range(len(proof))
    ]
    for one in changed:
        with pytest.raises(TreeError):
            check_consistency(*one)


def test_what_a_tree_does_not_have_cannot_be_proven() -> None:
    for make in (inclusion_proof, consistency_proof):
        with pytest.raises(TreeError):
            make(9, 8, nodes_of(numbered(8)))
        with pytest.raises(TreeError):
            make(-1, 8, nodes_of(numbered(8)))


@given(st.integers(0, 6))
def test_the_root_of_a_perfect_tree_is_the_root_of_its_leaves(height: int) -> None:
    entries = numbered(1 << height)
    assert perfect_root(hashes_of(entries)) == plain_root(entries)


@pytest.mark.parametrize("count", [0, 3, 255])
def test_other_trees_have_no_root_of_a_perfect_one(count: int) -> None:
    with pytest.raises(TreeError):
        perfect_root([EMPTY_ROOT] * count)
