"""The key log in a state file: whether it is whole, up to its head, and the one that its checkpoint says it is.

Whoever goes on with a log that is not whole forks it, and every tenant who kept a checkpoint would see that. So the
tree is computed anew from its leaves, and compared with tiles, frontier and checkpoint.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hgs.keyprotection.secret import Secret
from hgs.statefile.errors import unsound
from hgs.transparency.checkpoint import Checkpoint, open_checkpoint, signing_key
from hgs.transparency.errors import NoteError, TreeError
from hgs.transparency.merkle import Frontier, leaf_hash
from hgs.transparency.note import VerifierKey
from hgs.transparency.tiles import WIDTH, tile_root

_DIGEST: Final = hashlib.sha256


class Log:
    """The log as its records tell it: first the releases, then the head, the leaves in order, and the tiles."""

    def __init__(self) -> None:
        self._head: dict[str, Any] | None = None
        self._frontier = Frontier()
        self._rows: list[list[bytes]] = [[]]
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._highest_index = -1

    @property
    def size(self) -> int:
        """How many entries the head says there are; 0 without one."""
        return self._head["size"] if self._head else 0

    @property
    def checkpoint(self) -> str:
        """The signed checkpoint of the head, as text; empty without one."""
        return self._head["checkpoint"].decode("utf-8", "replace") if self._head else ""

    def see_release(self, fields: dict[str, Any]) -> None:
        """A row of the account; it may name a leaf."""
        if fields["log_index"] is not None:
            self._highest_index = max(self._highest_index, fields["log_index"])

    def see_head(self, fields: dict[str, Any]) -> None:
        """The head of the tree."""
        self._head = fields

    def see_leaf(self, fields: dict[str, Any]) -> None:
        """One leaf. Raises StateFileError where it is not the next one."""
        if fields["index"] != self._frontier.size:
            raise unsound(f"entry {self._frontier.size} of the key log is missing.")
        hashed = leaf_hash(fields["leaf"])
        self._frontier.append(hashed)
        self._grow(0, hashed)

    def see_tile(self, fields: dict[str, Any]) -> None:
        """One full tile. Raises StateFileError where the leaves make another."""
        place = fields["level"], fields["index"]
        if self._tiles.pop(place, None) != _DIGEST(fields["hashes"]).digest():
            raise unsound(f"tile {place[0]}/{place[1]} of the key log is not the one that its entries make.")

    def finish(self, origin: str, seed: Secret | None) -> None:
        """Compare with the head and its checkpoint. Raises StateFileError."""
        if self._frontier.size != self.size:
            raise unsound(f"{self._frontier.size} of {self.size} entries of the key log are there.")
        if self._highest_index >= self.size:
            raise unsound("a release is said to be an entry that the key log does not have.")
        if self._tiles:
            raise unsound("tiles of the key log are missing.")
        if self._head is None or not self.size:
            return
        if self._head["frontier"] != self._frontier.serialise():
            raise unsound("the frontier of the key log is not the one that its entries make.")
        self._check_checkpoint(origin, seed)

    def _check_checkpoint(self, origin: str, seed: Secret | None) -> None:
        if self._head is None or seed is None:
            raise unsound("the key log is in it, and its key is not.")
        try:
            public = signing_key(seed.reveal()).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            found = open_checkpoint(self._head["checkpoint"], VerifierKey(origin, public))
        except (NoteError, TreeError) as error:
            raise unsound(f"the checkpoint of the key log does not hold. {error.message}") from None
        if found != Checkpoint(origin, self.size, self._frontier.root()):
            raise unsound("the checkpoint of the key log is of another log than its entries make.")

    def _grow(self, level: int, hashed: bytes) -> None:
        if level == len(self._rows):
            self._rows.append([])
        row = self._rows[level]
        row.append(hashed)
        if len(row) == WIDTH:
            hashes = b"".join(row)
            row.clear()
            index = self._frontier.size // WIDTH ** (level + 1) - 1
            self._tiles[level, index] = _DIGEST(hashes).digest()
            self._grow(level + 1, tile_root(hashes))
