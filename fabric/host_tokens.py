"""Host tokens: `gfh_<key id>_<secret>`, of which the database keeps the key id and a keyed hash.

The key id (12 hexadecimal digits) finds the row; the secret is 32 random bytes in base64url. The stored hash is
HMAC-SHA-256 over the secret under the pepper that the hash names by number (`<number>:<hex>`), so
that peppers can be renewed one host at a time and a copy of the database alone opens nothing.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from fabric.models import Host

PREFIX = "gfh"


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token: shown once to who asked for it. `stored` goes to the database."""

    plain: str
    key_id: str
    stored: str


def issue() -> IssuedToken:
    """A new random token under the newest pepper."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    number, pepper = _peppers()[0]
    return IssuedToken(f"{PREFIX}_{key_id}_{secret}", key_id, f"{number}:{_digest(pepper, key_id, secret)}")


def host_of(token: str) -> Host | None:
    """The host whose token this is, or None. Takes the same time for any wrong secret."""
    parts = token.split("_", 2)
    if len(parts) != 3 or parts[0] != PREFIX or len(token) > 200:
        return None
    host = Host.objects.filter(token_key_id=parts[1]).first()
    stored = host.token_hash if host else "0:" + "0" * 64
    return host if _matches(stored, parts[1], parts[2]) and host else None


def _matches(stored: str, key_id: str, secret: str) -> bool:
    number, _, digest = stored.partition(":")
    pepper = dict(_peppers()).get(number, "unknown")
    return hmac.compare_digest(_digest(pepper, key_id, secret), digest)


def _digest(pepper: str, key_id: str, secret: str) -> str:
    return hmac.new(pepper.encode(), f"host:{key_id}:{secret}".encode(), hashlib.sha256).hexdigest()


def _peppers() -> list[tuple[str, str]]:
    peppers = [(number, pepper) for number, _, pepper in (item.partition(":") for item in settings.TOKEN_PEPPERS)]
    if not peppers or not all(number and pepper for number, pepper in peppers):
        raise ImproperlyConfigured("TOKEN_PEPPERS must be set, as NUMBER:SECRET, newest first")
    return peppers
