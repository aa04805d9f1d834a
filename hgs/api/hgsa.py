"""[MS-HGSA] over HTTP: what every endpoint of the attestation service shares.

Messages travel as JSON; error replies have an HTTP status too, so that proxies and logs see failures. Anonymous on
purpose (the evidence is the authority), and without cookies, so CSRF protection is off.
"""

import logging
from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, Final, ParamSpec

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from hgs.api.clocks import note_clock
from hgs.api.requests import BodyRefused, read_body
from hgs.commands.answers import Answer
from hgs.models import OperationMode
from hgs.selectors.configuration import configuration
from hgs.wire import hgsa
from hgs.wire.errors import WireError
from portal.kernel.errors import Unavailable

log = logging.getLogger(__name__)

_JSON: Final = frozenset({"application/json"})
STATUS: Final[dict[type[hgsa.Message], int]] = {
    hgsa.HealthCertificateReply: 200,
    hgsa.TpmReplyContinue: 200,
    hgsa.ServiceInfoReply: 200,
    hgsa.PayloadErrorReply: 400,
    hgsa.RtpmErrorReply: 400,
    hgsa.TcgLogValidationErrorReply: 400,
    hgsa.VirtualSecureModeErrorReply: 400,
    hgsa.VsmReportValidationErrorReply: 400,
    hgsa.UnauthorizedErrorReply: 403,
    hgsa.PolicyEvaluationErrorReply: 403,
    hgsa.OperationModeErrorReply: 409,
    hgsa.UnavailableErrorReply: 503,
}
"""The HTTP status of each reply; the specification names none."""

_P = ParamSpec("_P")
_View = Callable[Concatenate[HttpRequest, _P], HttpResponse]


def form_of(version: int) -> hgsa.Form:
    """How this HGS writes byte strings and GUIDs to a client of protocol version 1 or 2."""
    return hgsa.Form(
        bytes_as_numbers=getattr(settings, f"HGS_WIRE_V{version}_BYTES") == "array",
        guid_as_base64=getattr(settings, f"HGS_WIRE_V{version}_GUIDS") == "base64",
    )


def reply(message: hgsa.Message, version: int = 2) -> HttpResponse:
    """A message of the specification with its HTTP status."""
    body = hgsa.serialise(message, form_of(version))
    return HttpResponse(body, status=STATUS[type(message)], content_type="application/json; charset=utf-8")


def answered(answer: Answer, version: int = 2) -> HttpResponse:
    """The reply of a command; a stored verdict is named in headers of our own."""
    if answer.reason:
        log.info("attestation answered with %s: %s", type(answer.reply).__name__, answer.reason)
    response = reply(answer.reply, version)
    if (stored := answer.attestation) is not None:
        response["Attestation-Id"] = str(stored.id)
        response["Attestation-Status"] = stored.status
        response["Attestation-Sub-Status"] = ",".join(stored.verdict["sub_statuses"])
    return response


def endpoint(method: str) -> Callable[[_View[_P]], _View[_P]]:
    """An endpoint of the attestation service: one method; without keys or a database it is unavailable."""

    def decorate(view: _View[_P]) -> _View[_P]:
        def guarded(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponse:
            if request.method != method:
                return HttpResponse(status=405, headers={"Allow": method})
            try:
                response = view(request, *args, **kwargs)
            except (Unavailable, DatabaseError):
                log.exception("attestation unavailable")
                return reply(hgsa.UnavailableErrorReply(retryable=True))
            note_clock(request, response)
            return response

        update_wrapper(guarded, view)
        return csrf_exempt(never_cache(guarded))

    return decorate


def wrong_mode(
    needed: OperationMode, *, is_rehearsal: bool = False, mode: OperationMode | None = None
) -> HttpResponse | None:
    """OperationModeErrorReply unless HGS is in the mode that an endpoint needs; a rehearsal needs none.

    ``mode``: the mode in force, where the caller has just read it. It is read for each request: a switch counts at once
    on every node. Raises Unavailable before HGS is initialised.
    """
    mode = mode or OperationMode(configuration().mode)
    if is_rehearsal or mode == needed:
        return None
    return reply(hgsa.OperationModeErrorReply(False, hgsa.AttestationOperationMode(mode)))


def message_of(request: HttpRequest, *expected: type[hgsa.Message]) -> hgsa.Message | None:
    """The request's message if it is one of ``expected``; whatever else came is logged, not repeated.

    The size is checked before a byte is read. None becomes PayloadErrorReply.
    """
    body = body_of(request)
    return None if body is None else message_in(body, *expected)


def body_of(request: HttpRequest) -> bytes | None:
    """The request's body, of a size and type that are read at all; None becomes PayloadErrorReply."""
    try:
        return read_body(request, hgsa.MAX_REQUEST, _JSON)
    except BodyRefused as error:
        log.info("attestation request refused: %s", error.message)
        return None


def message_in(body: bytes, *expected: type[hgsa.Message]) -> hgsa.Message | None:
    """The message in a body if it is one of ``expected``; None becomes PayloadErrorReply."""
    try:
        message = hgsa.parse_message(body)
    except WireError as error:
        log.info("attestation request unreadable: %s", error.message)
        return None
    if not isinstance(message, expected):
        log.info("attestation request is a %s", type(message).__name__)
        return None
    return message
