"""Tiles and entry bundles: their paths, and that tiles made bit by bit are those of the whole tree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hgs.transparency.errors import TileError
from hgs.transparency.merkle import check_inclusion, inclusion_proof, perfect_root, split_hashes
from hgs.transparency.tiles import (
    TILE_SIZE,
    WIDTH,
    TilePath,
    completed_tiles,
    parse_entries,
    partial_paths,
    partial_tile,
    serialise_entries,
    tile_root,
)
from tests.hgs.transparency.logs import hashes_of, nodes_of, numbered, plain_root

LOG = numbered(66_100)
HASHES = hashes_of(LOG)


class Storage:
    """What a log keeps: the hashes of its leaves, and full tiles, each saved once."""

    def __init__(self) -> None:
        self.size = 0
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.asked = 0

    def leaf_hashes(self, begin: int, end: int) -> list[bytes]:
        return HASHES[begin:end]

    def root(self, level: int, index: int) -> bytes:
        self.asked += 1
        return tile_root(self.tiles[level, index])

    def grow(self, size: int) -> None:
        for level, index, hashes in completed_tiles(self.size, size, self.leaf_hashes, self.root):
            assert (level, index) not in self.tiles
            self.tiles[level, index] = hashes
        self.size = size


@pytest.mark.parametrize(
    ("path", "level", "index", "width"),
    [
        ("tile/0/000", 0, 0, 256),
        ("tile/0/067", 0, 67, 256),
        ("tile/1/x001/000", 1, 1000, 256),
        ("tile/0/x001/x234/067", 0, 1234067, 256),
        ("tile/0/x001/x234/067.p/5", 0, 1234067, 5),
        ("tile/63/000.p/255", 63, 0, 255),
        ("tile/entries/x001/x234/067", None, 1234067, 256),
        ("tile/entries/000.p/1", None, 0, 1),
    ],
)
def test_a_path_reads_and_writes(path: str, level: int | None, index: int, width: int) -> None:
    assert TilePath.parse(path) == TilePath(level, index, width)
    assert str(TilePath(level, index, width)) == path


@given(st.none() | st.integers(0, 63), st.integers(0, 10**18), st.integers(1, 256))
def test_every_path_reads_back(level: int | None, index: int, width: int) -> None:
    path = TilePath(level, index, width)
    assert TilePath.parse(str(path)) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/67",
        "tile/0/0067",
        "tile/0/x067",
        "tile/0/x000/067",
        "tile/0/001/067",
        "tile/00/067",
        "tile/64/067",
        "tile/-1/067",
        "tile/0/067.p/0",
        "tile/0/067.p/256",
        "tile/0/067.p/05",
        "tile/0/067.p/",
        "tile/0/067.p",
        "tile/0/067/",
        "/tile/0/067",
        "tile/0/067\n",
        "tile/0/０67",
        "tile/Entries/067",
        "tile/0/../067",
        "tile/0/" + "x001/" * 7 + "067",
    ],
)
def test_a_path_that_is_written_otherwise_is_refused(path: str) -> None:
    with pytest.raises(TileError):
        TilePath.parse(path)


@given(st.text(alphabet="tile/entris0123456789x.p", max_size=40))
def test_whatever_parses_is_written_back(path: str) -> None:
    try:
        parsed = TilePath.parse(path)
    except TileError:
        return
    assert str(parsed) == path


def test_the_tiles_of_the_specification_s_example_are_those() -> None:
    assert partial_paths(70_000) == [TilePath(0, 273, 112), TilePath(1, 1, 17), TilePath(2, 0, 1)]
    assert partial_paths(256) == [TilePath(1, 0, 1)]
    assert partial_paths(0) == []
    assert all(path.is_within(70_000) for path in partial_paths(70_000))
    assert TilePath(0, 272).is_within(70_000)
    assert TilePath(1, 0).is_within(70_000)
    assert not TilePath(0, 273, 113).is_within(70_000)
    assert not TilePath(1, 1).is_within(70_000)
    assert not TilePath(None, 273).is_within(70_000)
    assert not TilePath(63, 0, 1).is_within(70_000)
    assert [path.begin for path in partial_paths(70_000)] == [273 * 256, 65_536, 0]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 66_100), max_size=5))
def test_tiles_are_the_same_however_the_log_grew(sizes: list[int]) -> None:
    storage = Storage()
    for size in sorted(sizes):
        storage.grow(size)
    assert set(storage.tiles) == {
        (level, index) for level in range(3) for index in range(storage.size // WIDTH ** (level + 1))
    }
    for (level, index), hashes in storage.tiles.items():
        below = [
            perfect_root(HASHES[at << 8 * level : at + 1 << 8 * level]) for at in range(index << 8, index + 1 << 8)
        ]
        assert hashes == b"".join(below)


def test_growth_by_one_asks_for_stored_tiles_only_where_one_above_is_full() -> None:
    storage = Storage()
    storage.grow(65_535)
    assert storage.asked == 0
    storage.grow(65_536)
    assert set(storage.tiles) == {(0, index) for index in range(256)} | {(1, 0)}
    assert storage.asked == 255
    storage.grow(65_537)
    assert storage.asked == 255


def test_a_monitor_proves_inclusion_from_tiles_alone() -> None:
    size = 66_100
    storage = Storage()
    storage.grow(size)
    served = dict(storage.tiles)
    for path in partial_paths(size):
        assert path.level is not None
        tile = partial_tile(path.level, path.index, path.width, storage.leaf_hashes, storage.root)
        served[path.level, path.index] = tile

    def node(level: int, index: int) -> bytes:
        inside = level % 8
        begin = index << inside
        row = split_hashes(served[level // 8, begin >> 8])
        return perfect_root(row[begin % 256 : begin % 256 + (1 << inside)])

    root = plain_root(LOG)
    for index in (0, 255, 65_535, 65_536, 66_099):
        check_inclusion(HASHES[index], index, size, inclusion_proof(index, size, node), root)


def test_a_partial_tile_is_the_beginning_of_the_full_one() -> None:
    storage = Storage()
    storage.grow(66_100)
    assert partial_tile(0, 3, 10, storage.leaf_hashes, storage.root) == storage.tiles[0, 3][:320]
    assert partial_tile(1, 0, 256, storage.leaf_hashes, storage.root) == storage.tiles[1, 0]
    node = nodes_of(LOG)
    assert partial_tile(2, 0, 1, storage.leaf_hashes, storage.root) == node(16, 0)


def test_no_tile_is_made_of_too_few_hashes() -> None:
    storage = Storage()
    with pytest.raises(TileError):
        list(completed_tiles(0, WIDTH, lambda begin, end: HASHES[begin : end - 1], storage.root))
    with pytest.raises(TileError):
        partial_tile(0, 258, WIDTH, storage.leaf_hashes, storage.root)
    with pytest.raises(TileError):
        partial_tile(0, 0, 0, storage.leaf_hashes, storage.root)
    with pytest.raises(TileError):
        list(completed_tiles(5, 4, storage.leaf_hashes, storage.root))
    with pytest.raises(TileError):
        tile_root(bytes(TILE_SIZE - 32))


def test_a_bundle_is_each_entry_after_its_length() -> None:
    assert serialise_entries([b"", b"ab"]) == bytes.fromhex("0000 0002 6162")


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles_read_back(entries: list[bytes]) -> None:
    assert parse_entries(serialise_entries(entries), len(entries)) == entries


@given(st.binary(max_size=64), st.integers(0, 5))
def test_whatever_bundle_parses_is_written_back(bundle: bytes, count: int) -> None:
    try:
        entries = parse_entries(bundle, count)
    except TileError:
        return
    assert serialise_entries(entries) == bundle


@pytest.mark.parametrize(
    ("bundle", "count", "code"),
    [
        (b"\x00", 1, "bundle-short"),
        (b"\x00\x02a", 1, "bundle-short"),
        (b"\x00\x01a", 2, "bundle-short"),
        (b"\x00\x01ab", 1, "bundle-long"),
        (b"\x00\x01a", 0, "bundle-long"),
    ],
)
def test_a_bundle_of_another_length_is_refused(bundle: bytes, count: int, code: str) -> None:
    with pytest.raises(TileError) as refused:
        parse_entries(bundle, count)
    assert refused.value.code == code


def test_an_entry_longer_than_its_length_field_tells_is_refused() -> None:
    with pytest.raises(TileError):
        serialise_entries([bytes(65_536)])
