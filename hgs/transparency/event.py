"""What the log's entries are about: one answer of the key protection service, in the one way it is written.

JSON with sorted keys, no white space, words in UTF-8, `v` 1. Whatever is read is written back to the same bytes, so an
event has one hash. HGS keeps events to itself and shows each to its owner; the log has a commitment to them only.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from hgs.transparency.errors import EntryError

EVENT_MAX: Final = 8192
MESSAGE_MAX: Final = 500
NAME_MAX: Final = 64
OFFLINE_MAX: Final = 0xFFFFFFFF
VERSION: Final = 1

_HASH: Final = re.compile(r"(?:[0-9a-f]{64})?")
_UUID: Final = re.compile(r"(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})?")
_PATTERNS: Final = {
    "result": re.compile(r"released|refused"),
    "reason": re.compile(r"[0-9A-Za-z._-]{0,64}"),
    "protector": _HASH,
    "egress": _HASH,
    "owner": _HASH,
    "guardian": _HASH,
    "host": re.compile(r"(?:[0-9a-f]{64}|[0-9A-F]{64})?"),
    "vm": _UUID,
    "verdict": _UUID,
    "certificate": re.compile(r"[0-9a-f]{0,40}"),
}
_LENGTHS: Final = {"message": MESSAGE_MAX, "host_name": NAME_MAX}
_AT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_AT_FORM: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEvent:
    """One release or refusal. Texts are empty where HGS does not know. Raises EntryError for a value out of its form.

    `owner` is the fingerprint of a proven owner (SHA-256 of the signing certificate, hex), never a mere claim; `vm` is
    what the host said and nothing proves. `offline`: starts without HGS that were granted with it.
    """

    at: dt.datetime
    result: Literal["released", "refused"]
    reason: str = ""
    message: str = ""
    protector: str = ""
    egress: str = ""
    vm: str = ""
    owner: str = ""
    guardian: str = ""
    host: str = ""
    host_name: str = ""
    certificate: str = ""
    verdict: str = ""
    offline: int = 0

    def __post_init__(self) -> None:
        for name, pattern in _PATTERNS.items():
            value = getattr(self, name)
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise _wrong(name)
        for name, most in _LENGTHS.items():
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > most or not _is_unicode(value):
                raise _wrong(name)
        if type(self.offline) is not int or not 0 <= self.offline <= OFFLINE_MAX:
            raise _wrong("offline")
        if self.at.utcoffset() != dt.timedelta(0):
            raise _wrong("at")

    @property
    def is_release(self) -> bool:
        """Whether a key left HGS."""
        return self.result == "released"

    def serialise(self) -> bytes:
        """The event's one form."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        # isoformat drops microseconds of zero and strftime pads years as the platform likes.
        at = f"{self.at.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
        text = json.dumps(
            {**content, "at": at, "v": VERSION}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return text.encode()


def parse_event(data: bytes) -> KeyEvent:
    """Read an event. Raises EntryError."""
    if len(data) > EVENT_MAX:
        raise EntryError("event-length", f"An event has {len(data)} bytes; {EVENT_MAX} is most.")
    content = _object(data)
    if content.pop("v", None) != VERSION:
        raise EntryError("event-version", f"The event is not of version {VERSION}.", "Use a newer gf.")
    if content.keys() != {field.name for field in fields(KeyEvent)}:
        raise EntryError("event-form", "The event has other members than the documented ones.")
    event = KeyEvent(**{**content, "at": _time(content["at"])})
    if event.serialise() != data:
        raise EntryError("event-form", "The event is not written in its one form.")
    return event


def _object(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise EntryError("event-form", "The event is not a JSON object.")
    return content


def _time(text: object) -> dt.datetime:
    if not isinstance(text, str) or not _AT_FORM.fullmatch(text):
        raise _wrong("at")
    try:
        return dt.datetime.strptime(text, _AT).replace(tzinfo=dt.UTC)
    except ValueError:
        raise _wrong("at") from None


def _is_unicode(text: str) -> bool:
    """No half of a surrogate pair, which UTF-8 cannot write."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _wrong(name: str) -> EntryError:
    return EntryError("event-value", f"The event's {name.replace('_', ' ')} is not of the documented form.")
