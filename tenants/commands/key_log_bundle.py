"""Passing an owner's bundle on: one at a time for each account, and only some at a time in all.

A bundle of a long log is large and may be read slowly, and all that time it takes a thread of the portal and a file on
its disk. Accounts are counted in the cache; a cache that does not answer must keep nobody from a bundle, so it limits
nothing and says so in the log. What all accounts together may take is counted in the process.
"""

import logging
import os
import weakref
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from time import monotonic
from typing import BinaryIO, Final

from django.core.cache import cache

from fabric.key_account import key_log_bundle
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Unavailable
from tenants.selectors.key_account import open_account

log = logging.getLogger(__name__)

AT_ONCE: Final = 2
"""Bundles that a process passes on at once: half of its threads (`manage.py portal`), and some files on the disk."""
LONGEST_SECONDS: Final = 3600
"""After this a bundle is broken off; one that was never ended no longer counts."""
_RETRY_AFTER: Final = 60
_PIECE: Final = 64 * 1024
# A queue of places and no semaphore: one may be given back while the interpreter collects garbage.
_places: SimpleQueue[None] = SimpleQueue()
for _each in range(AT_ONCE):
    _places.put(None)


class PassedOn(Iterator[bytes]):
    """A bundle of `size` bytes for an account. It has ended when its last piece was taken or it was closed."""

    def __init__(self, file: BinaryIO, account: str) -> None:
        self._file = file
        self._until = monotonic() + LONGEST_SECONDS
        self._ended = weakref.finalize(self, _finish, file, account)
        self._ended.atexit = False
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)

    def __next__(self) -> bytes:
        if self._file.closed:
            raise StopIteration
        if monotonic() > self._until:
            self.close()
            raise TimeoutError("a bundle was read so slowly that it was broken off")
        piece = self._file.read(_PIECE)
        if self._file.tell() >= self.size:
            self.close()
        if not piece:
            raise StopIteration
        return piece

    def close(self) -> None:
        """End it, also in the midst."""
        self._ended()


def pass_on_bundle(actor: Actor, *, owner: str, from_size: int = 0) -> PassedOn:
    """The bundle of a proven owner, in pieces.

    Raises `NotFound`, `Denied` (`owner-not-proven`), `Conflict` (`bundle-under-way`, `hgs-refused`), `Unavailable`
    (`bundles-under-way`, or HGS is away).
    """
    account = open_account(actor, owner)
    if not _begin(actor.id):
        raise Conflict(
            "bundle-under-way",
            "Another bundle is on its way to you.",
            "Wait until it has arrived; one that broke off counts for an hour at most.",
        )
    try:
        _take_place()
    except Unavailable:
        _end(actor.id)
        raise
    try:
        file = key_log_bundle(account.fingerprint, from_size)
    except BaseException:
        _give_back(actor.id)
        raise
    return PassedOn(file, actor.id)


def _take_place() -> None:
    try:
        _places.get_nowait()
    except Empty:
        raise Unavailable(
            "bundles-under-way",
            "The portal is passing on as many bundles as it can at once.",
            "Try again in a minute.",
            retry_after=_RETRY_AFTER,
        ) from None


def _finish(file: BinaryIO, account: str) -> None:
    file.close()
    _give_back(account)


def _give_back(account: str) -> None:
    _places.put(None)
    _end(account)


def _begin(account: str) -> bool:
    try:
        return bool(cache.add(_key(account), 1, LONGEST_SECONDS))
    except Exception:
        log.exception("bundles are not counted: the cache does not answer")
        return True


def _end(account: str) -> None:
    try:
        cache.delete(_key(account))
    except Exception:
        log.exception("bundles are not counted: the cache does not answer")


def _key(account: str) -> str:
    return f"key-log-bundle:{account}"
