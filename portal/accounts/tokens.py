"""API tokens: `gf_<id>_<secret>`.

`<id>` is 12 hexadecimal digits and finds the row; `<secret>` is 64 of them and is shown once. Kept is
HMAC-SHA256(pepper, "api-token:" + whole token), with the number of the pepper that made it, so that peppers rotate:
`TOKEN_PEPPERS` holds "2:secret,1:older", the first one makes new tokens. Without a pepper a stolen database is no help
in guessing, and with one a token is found by one indexed read and compared in constant time.
"""

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta

from django.conf import settings

from portal.accounts.models import ApiToken
from portal.kernel.errors import Unavailable

_FORM = re.compile(r"gf_([0-9a-f]{12})_([0-9a-f]{64})", re.ASCII)
_USED_PRECISION = timedelta(minutes=1)


def _peppers() -> dict[int, bytes]:
    numbered = (item.split(":", 1) for item in settings.TOKEN_PEPPERS)
    return {int(number): pepper.encode() for number, pepper in numbered}


def _digest(token: str, pepper: bytes) -> bytes:
    return hmac.new(pepper, b"api-token:" + token.encode(), hashlib.sha256).digest()


def mint() -> tuple[str, str, int, bytes]:
    """A new token: its id, the whole token to show once, the pepper's number and the digest to keep.

    Raises:
        Unavailable: the portal has no pepper.
    """
    peppers = _peppers()
    if not peppers:
        raise Unavailable(
            "no-token-pepper", "API tokens are off: TOKEN_PEPPERS is not set.", "Ask the operator to set it."
        )
    number = next(iter(peppers))
    key_id = secrets.token_hex(6)
    token = f"gf_{key_id}_{secrets.token_hex(32)}"
    return key_id, token, number, _digest(token, peppers[number])


def find(token: str, now: datetime) -> ApiToken | None:
    """The usable token that `token` is, or None; notes that it was used, to the minute."""
    match = _FORM.fullmatch(token)
    row = ApiToken.objects.select_related("user").filter(key_id=match[1]).first() if match else None
    pepper = _peppers().get(row.pepper) if row else None
    if row is None or pepper is None or not hmac.compare_digest(_digest(token, pepper), bytes(row.digest)):
        return None
    if not row.is_usable(now):
        return None
    if row.last_used_at is None or now - row.last_used_at > _USED_PRECISION:
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
    return row
