"""Timing in process: processor time, the best of several rounds, since other work on a machine only ever adds."""

import time
from collections.abc import Callable
from typing import Final

ROUNDS: Final = 5


def microseconds(call: Callable[[], object], seconds: float) -> float:
    """Processor microseconds of one ``call``; each round lasts about ``seconds``."""
    call()
    count, spent = 1, 0.0
    while spent < seconds / 10:
        count *= 2
        spent = _spent(call, count)
    count = max(int(count * seconds / spent), 1)
    return min(_spent(call, count) for _ in range(ROUNDS)) / count * 1e6


def _spent(call: Callable[[], object], count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        call()
    return time.process_time() - start
