"""The account of keys as HGS keeps it: what the fabric reads there for the owner of the keys.

The fabric's token reads the entries of every owner. Who may see which of them is decided by who asks for them
(:mod:`tenants.selectors.key_account`); nothing of it is kept here.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from fabric.guardian_service import fabric_client
from hgs.client import HgsProtocolError

PAGE_LENGTH: Final = 50
_VKEY: Final = re.compile(r"[^\s+]{1,128}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{43,48}={0,2}", re.ASCII)
_HASH: Final = re.compile(r"(?:[0-9a-f]{64})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """One release or refusal of HGS. Hashes are SHA-256 in hex, empty where HGS knew none.

    `vm` is what the host said; HGS cannot check it. `index` is the entry's place in the key log.
    """

    index: int | None
    at: datetime
    released: bool
    reason: str
    message: str
    protector: str
    egress: str
    vm: UUID | None
    owner: str
    guardian: str
    host: str
    host_name: str
    certificate: str
    verdict: UUID | None
    offline: int


@dataclass(frozen=True, slots=True)
class KeyLogKey:
    """The key that signs the key log. `fingerprint`: SHA-256 of `vkey`, for people to compare."""

    vkey: str

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.vkey.encode()).hexdigest()


def key_events(
    owner: str, *, vm: UUID | None = None, before: int | None = None, limit: int = PAGE_LENGTH
) -> list[KeyEvent]:
    """An owner's entries, newest first. Raises `Unavailable`, `Conflict` (`hgs-refused`)."""
    with fabric_client() as client:
        events = [_event(item) for item in client.key_events(owner, vm, before, limit)]
        if any(event.owner != owner or (vm is not None and event.vm != vm) for event in events):
            raise HgsProtocolError("HGS sent entries that were not asked for.")
        return events


def key_log_key() -> KeyLogKey:
    """The key of the log as HGS tells it. Raises `Unavailable`, `Conflict`."""
    with fabric_client() as client:
        text = client.key_log_key()
        if not _VKEY.fullmatch(text):
            raise HgsProtocolError("HGS did not answer with the key of its key log.")
        return KeyLogKey(text)


def key_log_bundle(owner: str, from_size: int = 0) -> Iterator[bytes]:
    """The offline bundle of an owner, in pieces; HGS has begun to answer before this returns.

    Raises `Unavailable`, `Conflict`: here, and in the midst where HGS breaks off.
    """
    pieces = _bundle(owner, from_size)
    first = next(pieces, b"")
    return _joined(first, pieces)


def _bundle(owner: str, from_size: int) -> Iterator[bytes]:
    with fabric_client() as client:
        yield from client.key_log_bundle(owner, from_size)


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _event(item: Any) -> KeyEvent:
    """Read an entry strictly: a page must not show what HGS did not say. Raises HgsProtocolError."""
    try:
        return KeyEvent(
            index=None if item["index"] is None else _count(item["index"]),
            at=_moment(item["at"]),
            released={"released": True, "refused": False}[item["result"]],
            reason=_text(item["reason"]),
            message=_text(item["message"]),
            protector=_hash(item["protector"]),
            egress=_hash(item["egress"]),
            vm=_id(item["vm"]),
            owner=_hash(item["owner"]),
            guardian=_hash(item["guardian"]),
            host=_text(item["host"]),
            host_name=_text(item["host_name"]),
            certificate=_text(item["certificate"]),
            verdict=_id(item["verdict"]),
            offline=_count(item["offline"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise HgsProtocolError("HGS sent an entry of its key log that cannot be read.") from error


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 500:
        raise ValueError("no text, or too long")
    return value


def _hash(value: object) -> str:
    text = _text(value)
    if not _HASH.fullmatch(text):
        raise ValueError("no hash")
    return text


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no count")
    return value


def _moment(value: object) -> datetime:
    at = datetime.fromisoformat(_text(value))
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return at


def _id(value: object) -> UUID | None:
    return UUID(_text(value)) if value else None
