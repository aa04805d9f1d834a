"""Key events for tests, and their leaves."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, replace

from hgs.transparency.entry import KeyEvent, make_leaf

OWNER = b"the signing certificate of the owner"
NEIGHBOUR = b"the signing certificate of another tenant"
VM = "00112233-4455-6677-8899-aabbccddeeff"
NOW = dt.datetime(2026, 3, 1, 12, 30, 15, 120, tzinfo=dt.UTC)


def fingerprint_of(certificate: bytes | None) -> str:
    return "" if certificate is None else hashlib.sha256(certificate).hexdigest()


RELEASE = KeyEvent(
    at=NOW,
    result="released",
    protector="a1" * 32,
    egress="b2" * 32,
    vm=VM,
    owner=fingerprint_of(OWNER),
    guardian="c3" * 32,
    host="D4" * 32,
    host_name="hv01",
    certificate="8f" * 16,
    verdict="ffeeddcc-bbaa-9988-7766-554433221100",
    offline=3,
)
REFUSAL = replace(RELEASE, result="refused", reason="host-removed", message="Der Host ist „weg“.", egress="", offline=0)


@dataclass(frozen=True)
class Entry:
    """An entry with all that HGS knows of it."""

    leaf: bytes
    event: KeyEvent
    blinding: bytes


def entry_of(event: KeyEvent, owner: bytes | None, number: int) -> Entry:
    """The entry of an event under an owner's key, with random numbers that depend on `number`."""
    event = replace(event, owner=fingerprint_of(owner))
    salt, blinding, nobody = (hashlib.sha256(f"{what} {number}".encode()).digest() for what in ("s", "b", "n"))
    return Entry(make_leaf(event, owner, salt=salt, blinding=blinding, nobody=nobody), event, blinding)
