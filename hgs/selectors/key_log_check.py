"""Whether the key log in the database is whole: every leaf, its details, the tiles and the head."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from hgs.models import KeyRelease, LogHead, LogLeaf, LogTile
from hgs.selectors import key_log
from hgs.selectors.key_events import event_of
from hgs.transparency.checkpoint import open_checkpoint
from hgs.transparency.entry import opens, parse_leaf
from hgs.transparency.errors import TransparencyError
from hgs.transparency.merkle import Frontier, leaf_hash
from hgs.transparency.tiles import WIDTH, tile_root

_PIECE: Final = 4096


def damage() -> str | None:
    """What is wrong with the log, in a sentence; None where nothing is. Raises Unavailable without the log's key."""
    head = LogHead.objects.first()
    if head is None or not head.size:
        return "There are entries, but the log has no head." if LogLeaf.objects.exists() else None
    tree, row = Frontier(), list[bytes]()
    try:
        for index, (leaf, release) in enumerate(_entries()):
            if (wrong := _entry_damage(index, leaf, release)) is not None:
                return wrong
            hashed = leaf_hash(bytes(leaf.leaf))
            tree.append(hashed)
            row.append(hashed)
            if len(row) == WIDTH:
                if not _is_kept(0, index // WIDTH, b"".join(row)):
                    return f"A tile of the key log does not fit its entries (up to entry {index})."
                row = []
        return _head_damage(head, tree) or _upper_damage(head.size)
    except TransparencyError as error:
        return f"The key log is damaged: {error.message}"


def _entries() -> Iterator[tuple[LogLeaf, KeyRelease | None]]:
    leaves = LogLeaf.objects.order_by("index").iterator(_PIECE)
    while piece := list(islice(leaves, _PIECE)):
        rows = {row.log_index: row for row in KeyRelease.objects.filter(log_index__in=[leaf.index for leaf in piece])}
        for leaf in piece:
            yield leaf, rows.get(leaf.index)


def _entry_damage(index: int, leaf: LogLeaf, release: KeyRelease | None) -> str | None:
    if leaf.index != index:
        return f"Entry {index} of the key log is missing."
    if release is None:
        return f"The details of entry {index} of the key log are missing."
    if not opens(parse_leaf(bytes(leaf.leaf)), event_of(release).serialise(), bytes(release.blinding)):
        return f"The details of entry {index} of the key log were changed."
    return None


def _head_damage(head: LogHead, tree: Frontier) -> str | None:
    signed = open_checkpoint(bytes(head.checkpoint), key_log.log_key().verifier)
    if (head.size, bytes(head.frontier)) != (tree.size, tree.serialise()):
        return "The head of the key log does not fit its entries."
    if (signed.size, signed.root) != (tree.size, tree.root()):
        return "The checkpoint of the key log does not fit its entries."
    return None


def _upper_damage(size: int) -> str | None:
    """Tiles above the lowest level, each from the roots of those below it."""
    level, width = 1, size // WIDTH // WIDTH
    while width:
        for index in range(width):
            below = LogTile.objects.filter(
                level=level - 1, index__gte=index * WIDTH, index__lt=(index + 1) * WIDTH
            ).order_by("index")
            if not _is_kept(level, index, b"".join(tile_root(bytes(tile.hashes)) for tile in below)):
                return f"A tile of level {level} of the key log does not fit those below it."
        level, width = level + 1, width // WIDTH
    return None


def _is_kept(level: int, index: int, hashes: bytes) -> bool:
    kept = LogTile.objects.filter(level=level, index=index).first()
    return kept is not None and bytes(kept.hashes) == hashes and bytes(kept.root) == tile_root(hashes)
