"""HTTP authentication by Kerberos: the ``Negotiate`` scheme (RFC 4559), in one round trip.

Whoever comes without a ticket is asked for one; whoever's ticket does not hold is told no more than that, and HGS's log
has the reason. An accepted client gets HGS's own proof back, so that it knows whom it spoke to.
"""

import base64
import binascii
import logging
from typing import Final

from django.http import HttpRequest, HttpResponse

from hgs import kerberos
from hgs.api.hgsa import reply
from hgs.wire import hgsa

log = logging.getLogger(__name__)

SCHEME: Final = "Negotiate"
_MAX_HEADER: Final = len(SCHEME) + 1 + (kerberos.MAX_TOKEN + 2) // 3 * 4


def has_ticket(request: HttpRequest) -> bool:
    """Whether the request carries a token of the scheme at all."""
    return bool(_presented(request))


def client_of(request: HttpRequest, body: bytes) -> kerberos.Client | HttpResponse:
    """Who sent the request, or the answer to somebody whose ticket does not hold. Raises Unavailable."""
    try:
        return kerberos.accept(_token(request), body)
    except kerberos.TicketRefused as error:
        log.warning("ticket refused: %s", error.message)
        return challenge(error.token)


def challenge(token: bytes = b"") -> HttpResponse:
    """401: show a ticket. ``token``: what the Kerberos library answers to one that it refused."""
    response = reply(hgsa.UnauthorizedErrorReply(retryable=False))
    response.status_code = 401
    response["WWW-Authenticate"] = _header(token)
    return response


def prove(response: HttpResponse, client: kerberos.Client) -> HttpResponse:
    """Add HGS's own proof to an answer."""
    response["WWW-Authenticate"] = _header(client.token)
    return response


def _header(token: bytes) -> str:
    return f"{SCHEME} {base64.b64encode(token).decode()}" if token else SCHEME


def _presented(request: HttpRequest) -> str:
    header = request.headers.get("Authorization", "")
    scheme, _, text = header.partition(" ") if len(header) <= _MAX_HEADER else ("", "", "")
    return text.strip() if scheme.lower() == SCHEME.lower() else ""


def _token(request: HttpRequest) -> bytes:
    try:
        return base64.b64decode(_presented(request), validate=True)
    except (binascii.Error, ValueError):
        raise kerberos.TicketRefused("The token is not base64.") from None
