"""How a state is shown: always a shape, a word and a colour together, so that no one of them carries it alone."""

from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    """Icons of the sprite that stand for a state."""

    OK = "s-ok"
    PENDING = "s-pending"
    STOPPED = "s-stopped"
    PAUSED = "s-paused"
    PROGRESS = "s-progress"
    WARNING = "s-warning"
    FAILED = "s-failed"
    UNKNOWN = "s-unknown"
    SHIELDED = "shield-filled"
    ENCRYPTION_SUPPORTED = "shield-half"
    UNPROTECTED = "shield"
    ATTESTED = "shield-check"
    REFUSED = "shield-x"
    EXPIRING = "shield-clock"


class Tone(StrEnum):
    """Colours a state may have; each is a token of the stylesheet."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    TRUST = "trust"
    BUSY = "busy"
    MUTED = "muted"


@dataclass(frozen=True)
class Status:
    """A state ready to show. `percent` is 0–100 for work in progress, `reason` follows the word in plain text."""

    shape: Shape
    word: str
    tone: Tone
    percent: int | None = None
    reason: str = ""


def pending(word: str = "Waiting") -> Status:
    return Status(Shape.PENDING, word, Tone.MUTED)


def running(word: str = "Running") -> Status:
    return Status(Shape.OK, word, Tone.OK)


def stopped(word: str = "Stopped") -> Status:
    return Status(Shape.STOPPED, word, Tone.MUTED)


def paused(word: str = "Paused") -> Status:
    return Status(Shape.PAUSED, word, Tone.MUTED)


def in_progress(word: str, percent: int | None = None) -> Status:
    return Status(Shape.PROGRESS, word, Tone.BUSY, percent=percent)


def warning(word: str, reason: str = "") -> Status:
    return Status(Shape.WARNING, word, Tone.WARNING, reason=reason)


def failed(word: str = "Failed", reason: str = "") -> Status:
    return Status(Shape.FAILED, word, Tone.ERROR, reason=reason)


def unknown(word: str = "Unknown", reason: str = "") -> Status:
    """`reason` says since when nothing is known: "as of 14:02 UTC"."""
    return Status(Shape.UNKNOWN, word, Tone.MUTED, reason=reason)


def shielded() -> Status:
    return Status(Shape.SHIELDED, "Shielded", Tone.TRUST)


def encryption_supported() -> Status:
    return Status(Shape.ENCRYPTION_SUPPORTED, "Encryption supported", Tone.TRUST)


def unprotected() -> Status:
    return Status(Shape.UNPROTECTED, "Not protected", Tone.MUTED)


def attested(word: str = "Attested") -> Status:
    return Status(Shape.ATTESTED, word, Tone.OK)


def refused(word: str = "Refused", reason: str = "") -> Status:
    return Status(Shape.REFUSED, word, Tone.ERROR, reason=reason)


def expiring(word: str = "Expiring", reason: str = "") -> Status:
    return Status(Shape.EXPIRING, word, Tone.WARNING, reason=reason)
