"""How fast something goes and how long it still takes, in words. Time is an argument, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_UNITS: Final = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_KNOWN_AFTER: Final = 0.2


@dataclass(slots=True)
class Pace:
    """Of one piece of work: what was done before it began (in an earlier run) does not count as its speed."""

    _began_at: float | None = None
    _began_with: int = 0

    def sentence(self, done: int, total: int, now: float) -> str:
        """Bytes done, bytes a second and the time left: "1.2 of 4.0 GB, 850 MB/s, 4 s left"."""
        if self._began_at is None:
            self._began_at, self._began_with = now, done
        size, name = _unit(total)
        far = f"{done / size:.1f} of {total / size:.1f} {name}"
        seconds, more = now - self._began_at, done - self._began_with
        if seconds < _KNOWN_AFTER or more <= 0:
            return far
        rate = more / seconds
        size, name = _unit(rate)
        speed = f"{rate / size:.1f}" if rate < 10 * size else f"{rate / size:.0f}"
        return f"{far}, {speed} {name}/s, {_span((total - done) / rate)} left"


def _unit(amount: float) -> tuple[int, str]:
    return next(((size, name) for size, name in _UNITS if amount >= size), (1, "bytes"))


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
