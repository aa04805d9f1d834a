"""What gunicorn does in each process that serves HGS; it reads this module as its configuration."""

import gc
import mmap
import os
import threading
import time
from typing import Any, Final

from hgs.arrivals import PatientWorker
from portal.kernel.readiness import tell_ready

MOST_WORKERS: Final = 4
"""Processes by default at most: all of them write to one audit chain, so more seldom help."""
LET_OTHERS_GO_FIRST: Final = 0.002
"""Seconds for each connection that this process has more than the emptiest one."""
LONGEST_COURTESY: Final = 0.02
sendfile = False
"""Files go out as other replies do, within the time that a reply may take."""
_PLACES: Final = 256
_ending = threading.Event()


def default_workers() -> int:
    """One process for each core that this one may use, up to MOST_WORKERS."""
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def default_threads(workers: int) -> int:
    """Four in all, and two in each process at least, so that a slow client holds up nobody.

    Python runs one thread of a process at a time; more of them get into each other's way.
    """
    return max(4 // workers, 2)


class Shares:
    """How many connections each process has, in memory that all of them share; made before they fork."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * _PLACES)).cast("i")

    def note(self, age: int, connections: int) -> None:
        """The process of this age (gunicorn numbers them) has so many."""
        self._counts[age % _PLACES] = connections + 1  # 0: no such process

    def forget(self, age: int) -> None:
        """The process has ended."""
        self._counts[age % _PLACES] = 0

    def surplus(self, age: int) -> int:
        """How many more the process has than the emptiest one."""
        ours = self._counts[age % _PLACES]
        return ours - min((count for count in self._counts if count), default=ours)


shares = Shares()


class EvenWorker(PatientWorker):
    """A worker that leaves new connections to processes that have fewer.

    Hosts keep their connections open. All processes wake for a new one, and whichever is faster takes it: when many
    hosts connect at once that is nearly always the same, which keeps them while the others idle.
    """

    def accept(self, listener: Any) -> None:
        """Take a new connection, unless an emptier process took it meanwhile."""
        surplus = shares.surplus(self.age)
        if surplus > 0:
            time.sleep(min(surplus * LET_OTHERS_GO_FIRST, LONGEST_COURTESY))
        super().accept(listener)
        shares.note(self.age, self.nr_conns)

    def notify(self) -> None:
        """Called in each round of the worker's loop."""
        super().notify()
        shares.note(self.age, self.nr_conns)


def when_ready(_server: Any) -> None:
    """The address is bound: only now it is this HGS that answers there."""
    tell_ready()


def child_exit(_server: Any, worker: Any) -> None:
    """The master saw a process end, however it did."""
    shares.forget(worker.age)


def post_worker_init(_worker: Any) -> None:
    """Start noting that this node lives, once the process has loaded HGS."""
    from hgs.commands.clocks import keep_beating

    _tidy_seldom()
    threading.Thread(target=keep_beating, args=(_ending,), name="node-beat", daemon=True).start()


def _tidy_seldom() -> None:
    """Spare Python's search for cycles what is loaded to stay, and search less often.

    Nearly everything that a request makes is freed at once, without that search; as Python sets it, it takes an eighth
    of the time of an attestation.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def worker_exit(_server: Any, _worker: Any) -> None:
    """End with the process."""
    _ending.set()
