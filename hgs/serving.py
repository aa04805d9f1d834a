"""What gunicorn does in each process that serves HGS; it reads this module as its configuration."""

import gc
import os
import socket
import threading
from typing import Any, Final

from portal.kernel.readiness import tell_ready

MOST_WORKERS: Final = 4
"""Processes by default at most: all of them write to one audit chain, so more seldom help."""
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_ending = threading.Event()


def default_workers() -> int:
    """One process for each core that this one may use, up to MOST_WORKERS."""
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def when_ready(_server: Any) -> None:
    """The address is bound: only now it is this HGS that answers there."""
    tell_ready()


def post_fork(server: Any, worker: Any) -> None:
    """Accept from a socket of this process's own, beside the one that all share.

    Hosts keep their connections open. Processes that accept from one socket share those badly: whichever is awake when
    many hosts connect at once takes nearly all, and keeps them while the others idle. Over sockets of their own on the
    same address (SO_REUSEPORT) the system spreads them.
    """
    if server.cfg.reuse_port:
        shared = [listener for listener in worker.sockets if listener.family in _INTERNET]
        worker.sockets = [*worker.sockets, *(_own(listener, server.cfg.backlog) for listener in shared)]


def _own(listener: Any, backlog: int) -> socket.socket:
    own = socket.socket(listener.family, socket.SOCK_STREAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    own.bind(listener.getsockname())
    own.setblocking(False)
    own.listen(backlog)
    return own


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
