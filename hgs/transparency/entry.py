"""The entries of the key log: what everybody may read, and what an owner can do with it.

    leaf        = 01 ‖ salt (32) ‖ owner tag (32) ‖ commitment (32)                              97 bytes
    owner key   = SHA-256("open-guarded-fabric key-log owner v1" 00 ‖ owner's signing certificate, DER)
    owner tag   = HMAC-SHA256(owner key, salt)
    commitment  = SHA-256("open-guarded-fabric key-log entry v1" 00 ‖ blinding (32) ‖ event)

Everybody gets the leaves. What they say to whom:

- To a stranger, nothing: salt and tag are fresh in every leaf, so leaves of one owner do not look alike, and the
  blinding, 32 random bytes, keeps anybody from trying likely events against a commitment.
- To the owner, which leaves are his: whoever computes the tag with his own key over all leaves finds every one that
  HGS made for him. A list of his events that leaves one out, whoever made the list, is found out by that. A leaf opens
  to one event only, so a list that changes one is found out too.
- Owner certificates are no secret to the fabric, which carries protectors with the certificate in them: who has seen an
  owner's certificate can tell which leaves are that owner's, and so how many and when they were added, but not read
  them. A certificate cannot be guessed (its key and signature are random), so nobody else can.

An event without a proven owner (a protector that is none, or whose owner's signature is wrong) is nobody's: its tag is
made with 32 random bytes as the key, and looks like any other.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from hgs.transparency.errors import EntryError
from hgs.transparency.event import EVENT_MAX, KeyEvent, parse_event

__all__ = ["EVENT_MAX", "LEAF_SIZE", "KeyEvent", "Leaf", "OwnerKey", "make_leaf", "opens", "parse_event", "parse_leaf"]

VERSION: Final = b"\x01"
RANDOM_SIZE: Final = 32
"""Size of salt, blinding and nobody's key."""
LEAF_SIZE: Final = 97

_OWNER_CONTEXT: Final = b"open-guarded-fabric key-log owner v1\0"
_ENTRY_CONTEXT: Final = b"open-guarded-fabric key-log entry v1\0"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One entry as the log has it."""

    salt: bytes
    owner_tag: bytes
    commitment: bytes

    def serialise(self) -> bytes:
        """The 97 bytes."""
        return VERSION + self.salt + self.owner_tag + self.commitment


@dataclass(frozen=True, slots=True)
class OwnerKey:
    """What recognises an owner's leaves; `fingerprint` is that of the signing certificate."""

    key: bytes
    fingerprint: str

    @classmethod
    def of(cls, owner_certificate: bytes) -> Self:
        """From the owner's signing certificate, DER."""
        digest = hashlib.sha256(_OWNER_CONTEXT + owner_certificate).digest()
        return cls(digest, hashlib.sha256(owner_certificate).hexdigest())

    def owns(self, leaf: Leaf) -> bool:
        """Whether HGS made the leaf for this owner; in constant time."""
        return hmac.compare_digest(leaf.owner_tag, owner_tag(self.key, leaf.salt))

    def find(self, leaves: Sequence[bytes]) -> list[int]:
        """Positions of the owner's among many leaves, as `owns` would tell them one by one. Raises EntryError."""
        if any(len(leaf) != LEAF_SIZE or leaf[:1] != VERSION for leaf in leaves):
            raise _unknown_version()
        key, tag, same = self.key, hmac.digest, hmac.compare_digest
        return [at for at, leaf in enumerate(leaves) if same(tag(key, leaf[1:33], "sha256"), leaf[33:65])]


def owner_tag(key: bytes, salt: bytes) -> bytes:
    """What marks a leaf as an owner's, for that owner only."""
    return hmac.digest(key, salt, "sha256")


def commitment(event: bytes, blinding: bytes) -> bytes:
    """What a leaf says about its event."""
    return hashlib.sha256(_ENTRY_CONTEXT + blinding + event).digest()


def make_leaf(
    event: KeyEvent, owner_certificate: bytes | None, *, salt: bytes, blinding: bytes, nobody: bytes
) -> bytes:
    """The leaf of an event. `salt`, `blinding` and `nobody` are 32 fresh random bytes each. Raises EntryError.

    `owner_certificate`: the proven owner's signing certificate (DER), whose fingerprint the event has to name; None
    where no owner is proven, then the event names none.
    """
    if any(len(one) != RANDOM_SIZE for one in (salt, blinding, nobody)):
        raise EntryError("random-length", f"Salt, blinding and nobody's key have {RANDOM_SIZE} bytes each.")
    owner = None if owner_certificate is None else OwnerKey.of(owner_certificate)
    if event.owner != (owner.fingerprint if owner else ""):
        raise EntryError("event-owner", "The event names another owner than the one whose leaf is made.")
    tag = owner_tag(owner.key if owner else nobody, salt)
    return Leaf(salt, tag, commitment(event.serialise(), blinding)).serialise()


def parse_leaf(data: bytes) -> Leaf:
    """Read a leaf. Raises EntryError."""
    if len(data) != LEAF_SIZE:
        raise EntryError("leaf-length", f"An entry of the key log has {LEAF_SIZE} bytes, not {len(data)}.")
    if data[:1] != VERSION:
        raise _unknown_version()
    return Leaf(data[1:33], data[33:65], data[65:])


def opens(leaf: Leaf, event: bytes, blinding: bytes) -> bool:
    """Whether the leaf commits to this event; in constant time."""
    return len(blinding) == RANDOM_SIZE and hmac.compare_digest(leaf.commitment, commitment(event, blinding))


def _unknown_version() -> EntryError:
    return EntryError("leaf-version", "The key log has entries of a version that is not known here.", "Use a newer gf.")
