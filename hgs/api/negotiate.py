"""Who sends a request, by Kerberos: the ``Negotiate`` scheme at HGS's door, in one round trip.

Whoever comes without a ticket is asked for one; whoever's ticket does not hold is told no more than that, and HGS's log
has the reason. An accepted client gets HGS's own proof back, so that it knows whom it spoke to.
"""

import logging

from django.http import HttpRequest, HttpResponse

from hgs import kerberos
from hgs.api.hgsa import reply
from hgs.wire import hgsa
from hgs.wire.errors import NegotiateError
from hgs.wire.negotiate import SCHEME, read_header, write_header

log = logging.getLogger(__name__)


def has_ticket(request: HttpRequest) -> bool:
    """Whether the request carries a token of the scheme at all."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == SCHEME.lower() and bool(token.strip())


def client_of(request: HttpRequest, body: bytes) -> kerberos.Client | HttpResponse:
    """Who sent the request, or the answer to somebody whose ticket does not hold. Raises Unavailable."""
    try:
        return kerberos.accept(read_header(request.headers.get("Authorization", "")), body)
    except NegotiateError as error:
        log.warning("ticket refused: %s", error.message)
        return challenge()
    except kerberos.TicketRefused as error:
        log.warning("ticket refused: %s", error.message)
        return challenge(error.token)


def challenge(token: bytes = b"") -> HttpResponse:
    """401: show a ticket. ``token``: what the Kerberos library answers to one that it refused."""
    response = reply(hgsa.UnauthorizedErrorReply(retryable=False))
    response.status_code = 401
    return _with(response, token)


def prove(response: HttpResponse, client: kerberos.Client) -> HttpResponse:
    """Add HGS's own proof to an answer."""
    return _with(response, client.token)


def _with(response: HttpResponse, token: bytes) -> HttpResponse:
    response["WWW-Authenticate"] = write_header(token)
    return response
