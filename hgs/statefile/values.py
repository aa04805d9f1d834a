"""How single values are written in a record: one encoding for each, read strictly.

Readers raise ValueError with what was expected; :mod:`hgs.statefile.form` says where.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

from hgs.keyprotection.secret import Secret

_HEX: Final = re.compile(r"[0-9a-f]{64}")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Encoding(Protocol):
    """Between a value in the program and a value of JSON."""

    def write(self, value: Any) -> object:
        """The value of JSON."""
        ...

    def read(self, value: object) -> Any:
        """The value in the program. Raises ValueError."""
        ...


@dataclass(frozen=True)
class Text:
    """Characters; ``least`` of 0 allows none."""

    most: int
    least: int = 1

    def write(self, value: str) -> str:
        return value

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not self.least <= len(value) <= self.most or "\0" in value:
            raise ValueError(f"a text of {self.least} to {self.most} characters")
        return value


@dataclass(frozen=True)
class Digest:
    """A SHA-256, 64 lower-case hex digits."""

    may_be_empty: bool = False

    def write(self, value: str) -> str:
        return value

    def read(self, value: object) -> str:
        if isinstance(value, str) and (_HEX.fullmatch(value) or (self.may_be_empty and not value)):
            return value
        raise ValueError("64 lower-case hex digits")


@dataclass(frozen=True)
class Octets:
    """Bytes, in base64."""

    most: int
    least: int = 1

    def write(self, value: bytes) -> str:
        return base64.b64encode(value).decode()

    def read(self, value: object) -> bytes:
        if isinstance(value, str) and len(value) <= self.most * 4 // 3 + 4:
            try:
                data = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                data = None
            if data is not None and self.least <= len(data) <= self.most:
                return data
        raise ValueError(f"{self.least} to {self.most} bytes in base64")


@dataclass(frozen=True)
class Private:
    """Bytes that are a secret, in base64; empty where there are none."""

    most: int

    def write(self, value: Secret) -> str:
        return Octets(self.most, 0).write(value.reveal())

    def read(self, value: object) -> Secret:
        return Secret(Octets(self.most, 0).read(value))


@dataclass(frozen=True)
class Moment:
    """A time, in UTC, with microseconds: ``2026-11-27T12:00:00.000000Z``."""

    def write(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def read(self, value: object) -> datetime:
        if not isinstance(value, str) or not _MOMENT.fullmatch(value):
            raise ValueError("a time in UTC")
        return datetime.fromisoformat(value)


@dataclass(frozen=True)
class Identifier:
    """A UUID as text."""

    def write(self, value: UUID) -> str:
        return str(value)

    def read(self, value: object) -> UUID:
        if not isinstance(value, str) or len(value) != 36:
            raise ValueError("a UUID")
        return UUID(value)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def write(self, value: bool) -> bool:
        return value

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")  # noqa: TRY004 - one kind of error for every reader
        return value


@dataclass(frozen=True)
class Number:
    """A whole number."""

    least: int
    most: int

    def write(self, value: int) -> int:
        return value

    def read(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise ValueError(f"a number from {self.least} to {self.most}")
        return value


@dataclass(frozen=True)
class Word:
    """One of some words."""

    words: tuple[str, ...]

    def write(self, value: str) -> str:
        return value

    def read(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ValueError(f"one of {', '.join(self.words)}")
        return value


@dataclass(frozen=True)
class Json:
    """A JSON object or array that has a form of its own."""

    type: type
    most: int

    def write(self, value: Any) -> object:
        return value

    def read(self, value: object) -> Any:
        if not isinstance(value, self.type) or len(json.dumps(value)) > self.most:
            raise ValueError(f"JSON of at most {self.most} characters")
        return value


@dataclass(frozen=True)
class Maybe:
    """A value, or null."""

    of: Encoding

    def write(self, value: Any) -> object:
        return None if value is None else self.of.write(value)

    def read(self, value: object) -> Any:
        return None if value is None else self.of.read(value)
