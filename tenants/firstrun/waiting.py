"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable


class WaitedTooLong(Exception):  # noqa: N818 - what a person reads
    """The condition did not come true in its time; the text says which."""


def wait_for(condition: Callable[[], bool], seconds: float, complaint: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise WaitedTooLong(f"Waited {seconds:.0f} s: {complaint}.")
        time.sleep(0.5)  # between two looks at a condition with a deadline
