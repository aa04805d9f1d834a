"""The key log's entries: leaves, events, entry bundles, and the paths of tiles."""

from contextlib import suppress

from hgs.transparency.entry import OwnerKey, opens, parse_event, parse_leaf
from hgs.transparency.errors import EntryError, TileError, TreeError
from hgs.transparency.merkle import Frontier
from hgs.transparency.tiles import TilePath, parse_entries, serialise_entries
from tests.fuzz.harness import run
from tests.hgs.transparency.events import OWNER


def check(data: bytes) -> None:
    """Only the package's own errors; what parses is written back to the same bytes."""
    owner = OwnerKey.of(OWNER)
    with suppress(EntryError):
        leaf = parse_leaf(data)
        assert leaf.serialise() == data
        assert owner.find([data]) == ([0] if owner.owns(leaf) else [])
        assert not opens(leaf, data, bytes(32))
    with suppress(EntryError):
        assert parse_event(data).serialise() == data
    for count in (0, 1, 2, 256):
        with suppress(TileError):
            assert serialise_entries(parse_entries(data, count)) == data
    with suppress(TreeError):
        assert Frontier.parse(len(data) // 32 and (1 << len(data) // 32) - 1, data).serialise() == data
    text = data.decode("utf-8", "replace")
    with suppress(TileError):
        assert str(TilePath.parse(text)) == text


if __name__ == "__main__":
    run("log_entries")
