"""What the person who typed `make up` reads: numbered steps, what each did, and how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Narration:
    """Prints to standard output; lines appear as things happen."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._number = 0
        self._step_began = self._started

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self._number += 1
        self._step_began = time.monotonic()
        self._print(f"\n{self._number}. {title}")
        yield
        self._print(f"   ({self._in_step:.1f} s)")

    def say(self, text: str) -> None:
        for line in text.splitlines():
            self._print(f"   {line}" if line else "")

    def happened(self, text: str) -> None:
        """A line with the seconds since its step began."""
        self._print(f"   {self._in_step:5.1f} s  {text}")

    @property
    def _in_step(self) -> float:
        return time.monotonic() - self._step_began

    def plain(self, text: str) -> None:
        self._print(text)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @staticmethod
    def _print(text: str) -> None:
        print(text, file=sys.stdout, flush=True)  # noqa: T201 - this module is what prints
