"""Shuts the secure worker's doors before any secret is inside."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import sys
from typing import IO, Final

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_LOOKUPS: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})


def isolate() -> bool:
    """No network, no core dumps, no tracing by others, files for this user alone.

    Returns whether the process is in an empty network namespace; where the system does not permit that, the refusal of
    network sockets by Python itself remains.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    library = ctypes.CDLL(None, use_errno=True)
    separated = any(library.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))
    library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    sys.addaudithook(_refuse_network)
    return separated


def private_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Standard input and output for the channel alone: whatever prints by accident goes nowhere."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return source, target


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.__new__" and arguments[1] not in (socket.AF_UNIX, -1):
        raise PermissionError("the secure worker has no network")
    if event in _LOOKUPS:
        raise PermissionError("the secure worker has no network")
