"""Passing an owner's bundle on, one at a time for each account.

A bundle of a long log is large and may be read slowly, and all that time it takes a thread of the portal; one account
must not take them all. The count lives in the cache; a cache that does not answer must keep nobody from a bundle, so it
limits nothing and says so in the log.
"""

import logging
import os
from collections.abc import Iterator
from typing import BinaryIO, Final

from django.core.cache import cache

from fabric.key_account import key_log_bundle
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict
from tenants.selectors.key_account import open_account

log = logging.getLogger(__name__)

_PIECE: Final = 64 * 1024
LONGEST_SECONDS: Final = 3600
"""After this a bundle that was never ended no longer counts."""


class PassedOn(Iterator[bytes]):
    """A bundle of `size` bytes on its way to an account; the next may begin when this one has ended or was closed."""

    def __init__(self, file: BinaryIO, account: str) -> None:
        self._file = file
        self._account = account
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)

    def __next__(self) -> bytes:
        piece = b"" if self._file.closed else self._file.read(_PIECE)
        if not piece:
            self.close()
            raise StopIteration
        return piece

    def close(self) -> None:
        """End it, also in the midst."""
        if not self._file.closed:
            self._file.close()
            _end(self._account)


def pass_on_bundle(actor: Actor, *, owner: str, from_size: int = 0) -> PassedOn:
    """The bundle of a proven owner, in pieces.

    Raises `NotFound`, `Denied` (`owner-not-proven`), `Conflict` (`bundle-under-way`, `hgs-refused`), `Unavailable`.
    """
    account = open_account(actor, owner)
    if not _begin(actor.id):
        raise Conflict(
            "bundle-under-way",
            "Another bundle is on its way to you.",
            "Wait until it has arrived; one that broke off counts for an hour at most.",
        )
    try:
        return PassedOn(key_log_bundle(account.fingerprint, from_size), actor.id)
    except BaseException:
        _end(actor.id)
        raise


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
