"""Heartbeats of guests: passed on to the control plane, and waited for by the job that started a guest."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from fabric.hyperv.control_plane import ControlPlane

RUNNING = "running"
_LOOK_AGAIN_SECONDS = 2.0


class Heartbeats:
    """The latest beat of each guest; safe for several threads."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._changed = threading.Condition()
        self._seen: dict[str, tuple[float, str]] = {}

    def heard(self, vm_id: str, beat: Mapping[str, Any]) -> None:
        """A guest has spoken."""
        with self._changed:
            self._seen[vm_id] = (time.monotonic(), str(beat.get("state", "")))
            self._changed.notify_all()
        self._control_plane.beat(vm_id, beat)

    def forget(self, vm_id: str) -> None:
        """The guest is no more, or starts anew."""
        with self._changed:
            self._seen.pop(vm_id, None)

    def wait(self, vm_id: str, seconds: float, alive: Callable[[], bool], waited: Callable[[float], None]) -> bool:
        """Whether the guest said that it runs, within `seconds`; gives up early once it is not `alive` any more.

        `waited` is told now and then which share of the time is over (0 to 1).
        """
        started = time.monotonic()
        with self._changed:
            while True:
                seen = self._seen.get(vm_id)
                if seen and seen[1] == RUNNING:
                    return True
                passed = time.monotonic() - started
                if passed >= seconds or not alive():
                    return False
                waited(passed / seconds)
                self._changed.wait(min(_LOOK_AGAIN_SECONDS, seconds - passed))
