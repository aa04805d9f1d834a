"""What diagnostics are made of and what they tell."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from hgs.models import OperationMode

EVERY_MODE: Final = frozenset(OperationMode)
TPM_MODE: Final = frozenset({OperationMode.TPM})
DOMAIN_MODE: Final = frozenset({OperationMode.ACTIVE_DIRECTORY})
HOST_KEY_MODE: Final = frozenset({OperationMode.HOST_KEY})


class Result(StrEnum):
    """``warning``: it works, and somebody should look. ``fail``: something does not work."""

    PASS = "pass"  # noqa: S105 - a result, no password
    WARNING = "warning"
    FAIL = "fail"


@dataclass(frozen=True)
class Told:
    """What one look came to. ``remedy`` is empty for what passed."""

    result: Result
    sentence: str
    remedy: str = ""


def passed(sentence: str) -> Told:
    """All is well."""
    return Told(Result.PASS, sentence)


def warning(sentence: str, remedy: str) -> Told:
    """It works, and somebody should look."""
    return Told(Result.WARNING, sentence, remedy)


def failed(sentence: str, remedy: str) -> Told:
    """It does not work."""
    return Told(Result.FAIL, sentence, remedy)


@dataclass(frozen=True)
class Facts:
    """What every diagnostic may go by."""

    now: datetime
    mode: OperationMode


@dataclass(frozen=True)
class Diagnostic:
    """One thing to look at, in the modes in which it means something. No finding at all: there is nothing to say."""

    code: str
    title: str
    group: str
    look: Callable[[Facts], Iterable[Told]]
    modes: frozenset[OperationMode] = EVERY_MODE


@dataclass(frozen=True)
class Finding:
    """What a diagnostic told; ``code`` is stable."""

    code: str
    title: str
    group: str
    told: Told

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "code": self.code,
            "title": self.title,
            "group": self.group,
            "result": self.told.result.value,
            "sentence": self.told.sentence,
            "remedy": self.told.remedy,
        }


@dataclass(frozen=True)
class Report:
    """All findings of one trace. ``mode`` is None where it could not be read."""

    at: datetime
    mode: OperationMode | None
    findings: tuple[Finding, ...]

    @property
    def overall(self) -> Result:
        """The worst result."""
        results = {finding.told.result for finding in self.findings}
        return next(result for result in (Result.FAIL, Result.WARNING, Result.PASS) if result in results)

    def shown(self, *, detailed: bool) -> tuple[Finding, ...]:
        """What did not pass; everything with ``detailed``."""
        return tuple(item for item in self.findings if detailed or item.told.result is not Result.PASS)

    def count(self, result: Result) -> int:
        """How many findings are of ``result``."""
        return sum(1 for finding in self.findings if finding.told.result is result)

    def to_json(self, *, detailed: bool) -> dict[str, Any]:
        """A JSON object."""
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "mode": self.mode.label if self.mode else None,
            "overall": self.overall.value,
            "counts": {result.value: self.count(result) for result in Result},
            "findings": [finding.to_json() for finding in self.shown(detailed=detailed)],
        }


def named(names: Iterable[str], most: int = 8) -> str:
    """Names for a sentence, the first few of them."""
    every = sorted(set(names), key=str.lower)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def counted(count: int, one: str, many: str = "") -> str:
    """``1 host``, ``2 hosts``."""
    return f"{count} {one if count == 1 else many or one + 's'}"
