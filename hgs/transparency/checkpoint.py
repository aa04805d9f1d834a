"""Checkpoints of a log (https://c2sp.org/tlog-checkpoint): its name, how long it is, and the root that fixes all of it.

    <origin>
    <size, decimal>
    <base64 of the root>

signed as a note by the log's Ed25519 key, whose name is the origin. Our logs write no extension
lines, and none is read.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hgs.transparency.errors import NoteError
from hgs.transparency.merkle import HASH_SIZE, SIZE_MAX
from hgs.transparency.note import VerifierKey, decode_exactly, is_key_name, open_note, sign_note

SEED_SIZE: Final = 32

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log at one size. Only `open_checkpoint` gives one that its log has signed."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.origin):
            raise NoteError("origin", "The origin of a checkpoint is empty, too long, or has spaces or a plus in it.")
        if not 0 <= self.size <= SIZE_MAX or len(self.root) != HASH_SIZE:
            raise NoteError("checkpoint-form", "The size or the root of a checkpoint is not of the documented form.")

    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def signing_key(seed: bytes) -> Ed25519PrivateKey:
    """The key of a log from its 32-byte seed (RFC 8032). Raises NoteError."""
    if len(seed) != SEED_SIZE:
        raise NoteError("key-length", f"The seed of an Ed25519 key has {SEED_SIZE} bytes.")
    return Ed25519PrivateKey.from_private_bytes(seed)


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> bytes:
    """The signed note of a checkpoint. The log must never have signed another root of that size."""
    return sign_note(checkpoint.text(), checkpoint.origin, key)


def open_checkpoint(note: bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint in a note, verified. Raises NoteError."""
    checkpoint = parse_checkpoint(open_note(note, key))
    if checkpoint.origin != key.name:
        raise NoteError(
            "wrong-origin",
            f"The checkpoint is of the log {checkpoint.origin}, not of {key.name}.",
            "Check which Host Guardian Service the file comes from.",
        )
    return checkpoint


def origin_of(note: bytes) -> str:
    """The log that a checkpoint claims to be of, to find its key by; nothing is verified."""
    return note.partition(b"\n")[0].decode("utf-8", "replace")


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint, of which nothing is verified. Raises NoteError."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise NoteError("checkpoint-form", "A checkpoint has three lines: origin, size and root.")
    root = decode_exactly(lines[2])
    if not _SIZE.fullmatch(lines[1]) or root is None:
        raise NoteError("checkpoint-form", "The size or the root of a checkpoint is not of the documented form.")
    return Checkpoint(lines[0], int(lines[1]), root)
