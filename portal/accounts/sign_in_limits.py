"""Limits on guessing passwords, per account and per address.

Only failures count. They are counted whether the account exists or not, so that the limit tells nobody which names
exist. Counters live in the cache; a cache that does not answer must not lock everybody out, so it limits nothing and
says so in the log.
"""

import hashlib
import logging
from dataclasses import dataclass

from django.core.cache import cache

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limit:
    """At most `failures` within `seconds`, counted from the first of them."""

    name: str
    failures: int
    seconds: int


PER_ACCOUNT = Limit("account", 5, 5 * 60)
PER_ADDRESS = Limit("address", 30, 10 * 60)


def _key(limit: Limit, who: str) -> str:
    return f"sign-in:{limit.name}:{hashlib.sha256(who.casefold().encode()).hexdigest()[:32]}"


def _subjects(username: str, address: str) -> list[tuple[Limit, str]]:
    return [(PER_ACCOUNT, username), (PER_ADDRESS, address)]


def minutes_to_wait(username: str, address: str) -> int:
    """Whole minutes until another attempt is looked at; 0 where one is allowed now."""
    try:
        reached = [
            limit for limit, who in _subjects(username, address) if cache.get(_key(limit, who), 0) >= limit.failures
        ]
    except Exception:
        log.exception("sign-in limits are off: the cache does not answer")
        return 0
    return max((limit.seconds // 60 for limit in reached), default=0)


def note_failure(username: str, address: str) -> None:
    """Count a wrong password."""
    try:
        for limit, who in _subjects(username, address):
            key = _key(limit, who)
            if not cache.add(key, 1, limit.seconds):
                cache.incr(key)
    except Exception:
        log.exception("sign-in limits are off: the cache does not answer")


def forget_failures(username: str) -> None:
    """Forget an account's failures once its owner signed in; the address keeps its own."""
    try:
        cache.delete(_key(PER_ACCOUNT, username))
    except Exception:
        log.exception("sign-in limits are off: the cache does not answer")
