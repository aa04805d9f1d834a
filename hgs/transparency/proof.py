"""The proof of one entry, for somebody who was not there (https://c2sp.org/tlog-proof):

    c2sp.org/tlog-proof@v1
    extra <base64(entry (97) ‖ blinding (32) ‖ event)>
    index <number>
    <base64 of each hash from the leaf's sibling up to the root's child, one on a line>

    <the signed checkpoint>

The extra data is believed only as far as the rest bears it: the entry has to be in the tree that the log's key signed,
and the event has to open the entry. It tells whoever gets the proof what happened, and nothing about other entries.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import BinaryIO, Final

from hgs.transparency.bundle import Bundle, Disclosure
from hgs.transparency.checkpoint import Checkpoint, open_checkpoint
from hgs.transparency.entry import LEAF_SIZE, RANDOM_SIZE, opens, parse_leaf
from hgs.transparency.errors import AuditError, TreeError
from hgs.transparency.event import EVENT_MAX, KeyEvent, parse_event
from hgs.transparency.merkle import (
    HASH_SIZE,
    SIZE_MAX,
    Frontier,
    check_inclusion,
    inclusion_proof,
    leaf_hash,
    node_hash,
    split_hashes,
)
from hgs.transparency.note import NOTE_MAX, VerifierKey, decode_exactly

PROOF_MAX: Final = NOTE_MAX + 32 * 1024

_FIRST: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")
_HASHES_MAX: Final = 63


@dataclass(frozen=True, slots=True)
class EntryProof:
    """One entry, what opens it, and its way up to the root. Only `verify` says whether it proves anything."""

    index: int
    leaf: bytes
    blinding: bytes
    event: bytes
    path: tuple[bytes, ...]
    note: bytes

    def serialise(self) -> bytes:
        """The proof as text."""
        extra = base64.b64encode(self.leaf + self.blinding + self.event).decode()
        hashes = [base64.b64encode(one).decode() for one in self.path]
        return "\n".join([_FIRST, f"extra {extra}", f"index {self.index}", *hashes, "", ""]).encode() + self.note

    def verify(self, key: VerifierKey) -> tuple[Checkpoint, KeyEvent]:
        """The checkpoint whose log has this event. Raises AuditError, EntryError, NoteError."""
        checkpoint = open_checkpoint(self.note, key)
        try:
            check_inclusion(leaf_hash(self.leaf), self.index, checkpoint.size, self.path, checkpoint.root)
        except TreeError as error:
            raise AuditError(error.code, error.message, error.advice, self.index) from None
        if not opens(parse_leaf(self.leaf), self.event, self.blinding):
            raise AuditError(
                "entry-forged",
                f"What the proof shows as entry {self.index} is not what the log has there.",
                "",
                self.index,
            )
        return checkpoint, parse_event(self.event)


def parse_proof(data: bytes) -> EntryProof:
    """Read a proof, of which nothing is verified. Raises AuditError."""
    head, gap, note = data.partition(b"\n\n")
    if len(data) > PROOF_MAX or not gap:
        raise _malformed()
    lines = head.decode("ascii", "replace").split("\n")
    index = _INDEX.fullmatch(lines[2]) if len(lines) >= 3 else None
    if index is None or lines[0] != _FIRST or len(lines) > 3 + _HASHES_MAX:
        raise _malformed()
    extra = decode_exactly(lines[1].removeprefix("extra ")) if lines[1].startswith("extra ") else None
    path = [decode_exactly(line) for line in lines[3:]]
    if extra is None or not LEAF_SIZE + RANDOM_SIZE <= len(extra) <= LEAF_SIZE + RANDOM_SIZE + EVENT_MAX:
        raise _malformed()
    hashes = tuple(one for one in path if one is not None and len(one) == HASH_SIZE)
    if len(hashes) != len(path) or int(index[1]) > SIZE_MAX:
        raise _malformed()
    blinding, event = extra[LEAF_SIZE : LEAF_SIZE + RANDOM_SIZE], extra[LEAF_SIZE + RANDOM_SIZE :]
    return EntryProof(int(index[1]), extra[:LEAF_SIZE], blinding, event, hashes, note)


def prove_entry(file: BinaryIO, key: VerifierKey, index: int) -> EntryProof:
    """The proof of an entry of the owner that a bundle shows, verified. Raises TransparencyError.

    Needs 32 bytes of memory for each entry of the bundle.
    """
    bundle = Bundle(file)
    checkpoint = open_checkpoint(bundle.note, key)
    shown = _shown(bundle, index)
    hashes, leaf = bytearray(), b""
    for piece in bundle.pieces(checkpoint.size):
        at = index - bundle.begin - len(hashes) // HASH_SIZE
        if 0 <= at < len(piece):
            leaf = piece[at]
        hashes += b"".join(map(leaf_hash, piece))
    nodes = _Nodes(bundle, bytes(hashes))
    path = tuple(inclusion_proof(index, checkpoint.size, nodes.hash_of))
    proof = EntryProof(index, leaf, shown.blinding, shown.event, path, bundle.note)
    proof.verify(key)
    return proof


def _shown(bundle: Bundle, index: int) -> Disclosure:
    found = next((one for one in bundle.disclosures() if one.index == index), None)
    if found is None or index < bundle.begin:
        raise AuditError("no-such-entry", f"The bundle does not show entry {index}.", "Use a bundle that does.", index)
    return found


class _Nodes:
    """Hashes of perfect subtrees from what a bundle has: its frontier, and its entries.

    A proof of an entry in the bundle asks for no subtree that lies below a hash of the frontier: the way up from such
    an entry passes beside those hashes, whole.
    """

    def __init__(self, bundle: Bundle, hashes: bytes) -> None:
        self._begin = bundle.begin
        self._hashes = hashes
        self._before: dict[tuple[int, int], bytes] = {}
        frontier, at = Frontier.parse(bundle.begin, bundle.frontier), 0
        levels = [level for level in range(bundle.begin.bit_length() - 1, -1, -1) if bundle.begin >> level & 1]
        for level, one in zip(levels, split_hashes(frontier.serialise()), strict=True):
            self._before[level, at >> level] = one
            at += 1 << level

    def hash_of(self, level: int, index: int) -> bytes:
        begin, end = index << level, (index + 1) << level
        if begin >= self._begin:
            subtree = Frontier()
            starts = range((begin - self._begin) * HASH_SIZE, (end - self._begin) * HASH_SIZE, HASH_SIZE)
            subtree.extend(self._hashes[at : at + HASH_SIZE] for at in starts)
            return subtree.root()
        if end <= self._begin:
            return self._before[level, index]
        return node_hash(self.hash_of(level - 1, 2 * index), self.hash_of(level - 1, 2 * index + 1))


def _malformed() -> AuditError:
    return AuditError("proof-form", "This is not a proof of an entry as gf audit prove writes it.")
