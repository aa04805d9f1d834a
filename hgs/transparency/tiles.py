"""The tree as tiles, and the entries as bundles (https://c2sp.org/tlog-tiles).

A tile is a row of up to 256 hashes of one level: of leaves on level 0, above it of the full tiles below. A full tile
never changes again, so it is stored once; a partial one is made when somebody asks. Every 256th entry completes a tile
of level 0, every 65,536th one of level 1 too: the cost of an entry stays the same, however long the log is.

    tile/<L>/<N>[.p/<W>]        hashes          <N> = 067, x001/067, x001/x234/067, …
    tile/entries/<N>[.p/<W>]    entries, each after its length (2 bytes, big endian)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from hgs.transparency.errors import TileError
from hgs.transparency.merkle import HASH_SIZE, SIZE_MAX, perfect_root, split_hashes

WIDTH: Final = 256
TILE_SIZE: Final = WIDTH * HASH_SIZE
LEVEL_MAX: Final = 63
ENTRY_MAX: Final = 0xFFFF

LeafHashes = Callable[[int, int], Sequence[bytes]]
"""(begin, end) → hashes of the leaves [begin, end), at most 256."""
TileRoot = Callable[[int, int], bytes]
"""(level, index) → root of that full tile, as `tile_root` computes it."""

_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class TilePath:
    """Which tile, or which bundle of entries (`level` None). `width` is 256, or less for a partial one."""

    level: int | None
    index: int
    width: int = WIDTH

    @classmethod
    def parse(cls, path: str) -> Self:
        """Read a path, which begins with `tile/`. Raises TileError."""
        match = _PATH.fullmatch(path) if path.isascii() else None
        if match is None:
            raise TileError("tile-path", "This is not the path of a tile.")
        level = None if match["level"] == "entries" else int(match["level"])
        index = int(match["index"].replace("x", "").replace("/", ""))
        found = cls(level, index, int(match["width"] or WIDTH))
        if level is not None and level > LEVEL_MAX:
            raise TileError("tile-level", f"Tiles have the levels 0 to {LEVEL_MAX}.")
        if match["width"] is not None and found.width >= WIDTH:
            raise TileError("tile-width", f"A partial tile is at most {WIDTH - 1} wide.")
        if str(found) != path:
            raise TileError("tile-path", "This is not the one path of a tile: its index is written too long.")
        return found

    def __str__(self) -> str:
        digits = f"{self.index:d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        place = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        part = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{'entries' if self.level is None else self.level}/{place}{part}"

    def is_within(self, size: int) -> bool:
        """Whether a tree of `size` leaves has this tile: its hashes are all there, though more may be there by now."""
        return self.index * WIDTH + self.width <= size >> 8 * (self.level or 0)

    @property
    def begin(self) -> int:
        """The first entry of the tile."""
        return self.index * WIDTH << 8 * (self.level or 0)


def partial_paths(size: int) -> list[TilePath]:
    """The partial tiles of a tree of `size` leaves, the lowest level first."""
    paths, level = [], 0
    while size:
        if size % WIDTH:
            paths.append(TilePath(level, size // WIDTH, size % WIDTH))
        level, size = level + 1, size // WIDTH
    return paths


def tile_root(hashes: bytes) -> bytes:
    """The root of a full tile, which stands for it on the level above. Raises TileError."""
    if len(hashes) != TILE_SIZE:
        raise TileError("tile-length", f"A full tile has {TILE_SIZE} bytes, not {len(hashes)}.")
    return perfect_root(split_hashes(hashes))


def completed_tiles(
    before: int, after: int, leaf_hashes_of: LeafHashes, tile_root_of: TileRoot
) -> Iterator[tuple[int, int, bytes]]:
    """The tiles that become full while the log grows from `before` to `after` entries: (level, index, hashes).

    Lower levels come first, and in a level the left ones; each is to be stored. Roots of tiles that this very growth
    completes are known here; `tile_root_of` is asked for those that were full before.
    """
    if not 0 <= before <= after <= SIZE_MAX:
        raise TileError("tree-size", f"A log does not grow from {before} to {after} entries.")
    made: dict[int, bytes] = {}
    first, last, level = before // WIDTH, after // WIDTH, 0
    while last:
        below, made = made, {}
        for index in range(first, last):
            begin, end = index * WIDTH, (index + 1) * WIDTH
            if level == 0:
                row: Sequence[bytes] = leaf_hashes_of(begin, end)
            else:
                row = [below[one] if one in below else tile_root_of(level - 1, one) for one in range(begin, end)]
            hashes = _tile(row, WIDTH)
            made[index] = tile_root(hashes)
            yield level, index, hashes
        first, last, level = first // WIDTH, last // WIDTH, level + 1


def partial_tile(level: int, index: int, width: int, leaf_hashes_of: LeafHashes, tile_root_of: TileRoot) -> bytes:
    """The first `width` hashes of a tile: from the leaves on level 0, above it from the roots of the tiles below."""
    if not (0 <= level <= LEVEL_MAX and index >= 0 and 1 <= width <= WIDTH):
        raise TileError("tile-path", "There is no such tile.")
    begin = index * WIDTH
    if level == 0:
        return _tile(leaf_hashes_of(begin, begin + width), width)
    return _tile([tile_root_of(level - 1, one) for one in range(begin, begin + width)], width)


def _tile(row: Sequence[bytes], width: int) -> bytes:
    hashes = b"".join(row)
    if len(row) != width or len(hashes) != width * HASH_SIZE:
        raise TileError("tile-length", f"{len(row)} hashes were given for a tile of {width}.")
    return hashes


def serialise_entries(entries: Iterable[bytes]) -> bytes:
    """Entries as a bundle. Raises TileError for one that is too long."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > ENTRY_MAX:
            raise TileError("entry-length", f"An entry has {len(entry)} bytes; {ENTRY_MAX} is most.")
        parts += len(entry).to_bytes(2, "big"), entry
    return b"".join(parts)


def parse_entries(bundle: bytes, count: int) -> list[bytes]:
    """The `count` entries of a bundle. Raises TileError."""
    entries: list[bytes] = []
    at = 0
    for _ in range(count):
        begin = at + 2
        at = begin + int.from_bytes(bundle[at:begin], "big")
        if at > len(bundle) or begin > len(bundle):
            raise TileError("bundle-short", f"A bundle of {count} entries ends within entry {len(entries)}.")
        entries.append(bundle[begin:at])
    if at != len(bundle):
        raise TileError("bundle-long", f"A bundle has more than its {count} entries.")
    return entries
