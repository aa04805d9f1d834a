"""[MS-HGSA]: the attestation service over HTTP.

Every message of the specification travels as JSON; error replies have an HTTP status too, so that proxies and logs
see failures. Anonymous on purpose (the evidence is the authority), and without cookies, so CSRF protection is off.
"""

import logging
from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, Final, ParamSpec

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from hgs.api.requests import BodyRefused, read_body
from hgs.attestation.verdict import Verdict
from hgs.commands.attest import attest as attest_command
from hgs.models import OperationMode
from hgs.selectors import keys
from hgs.selectors.configuration import configuration
from hgs.wire import certbag, hgsa
from hgs.wire.errors import WireError
from portal.kernel.errors import Unavailable

log = logging.getLogger(__name__)

SUPPORTED_LEVELS: Final = (1, 2)
_JSON: Final = frozenset({"application/json"})
_STATUS: Final[dict[type[hgsa.Message], int]] = {
    hgsa.HealthCertificateReply: 200,
    hgsa.TpmReplyContinue: 200,
    hgsa.ServiceInfoReply: 200,
    hgsa.PayloadErrorReply: 400,
    hgsa.RtpmErrorReply: 400,
    hgsa.TcgLogValidationErrorReply: 400,
    hgsa.VirtualSecureModeErrorReply: 400,
    hgsa.UnauthorizedErrorReply: 403,
    hgsa.PolicyEvaluationErrorReply: 403,
    hgsa.OperationModeErrorReply: 409,
    hgsa.UnavailableErrorReply: 503,
}
_P = ParamSpec("_P")
_View = Callable[Concatenate[HttpRequest, _P], HttpResponse]


def reply(message: hgsa.Message) -> HttpResponse:
    """A message of the specification with its HTTP status."""
    body = hgsa.serialise(message)
    return HttpResponse(body, status=_STATUS[type(message)], content_type="application/json; charset=utf-8")


def endpoint(method: str) -> Callable[[_View[_P]], _View[_P]]:
    """An endpoint of the attestation service: one method; without keys or a database it is unavailable."""

    def decorate(view: _View[_P]) -> _View[_P]:
        def guarded(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponse:
            if request.method != method:
                return HttpResponse(status=405, headers={"Allow": method})
            try:
                return view(request, *args, **kwargs)
            except (Unavailable, DatabaseError):
                log.exception("attestation unavailable")
                return reply(hgsa.UnavailableErrorReply(retryable=True))

        update_wrapper(guarded, view)
        return csrf_exempt(never_cache(guarded))

    return decorate


@endpoint("GET")
def getinfo(_request: HttpRequest) -> HttpResponse:
    """GetInfo, 3.1.5.4"""
    found = configuration()
    mode = hgsa.AttestationOperationMode(found.mode)
    levels = SUPPORTED_LEVELS[: found.functional_level]
    return reply(hgsa.ServiceInfoReply(found.functional_level, mode, levels))


@endpoint("GET")
def signing_certificates(_request: HttpRequest) -> HttpResponse:
    """GetSigningCertificates, 3.1.5.5: a PKCS#7 bag as a JSON array of byte numbers."""
    configuration()
    bag = certbag.serialise_bag([signer.certificate for signer in keys.trusted_signers()])
    return HttpResponse(hgsa.serialise_certificate_bag(bag), content_type="application/json; charset=utf-8")


@endpoint("POST")
def attest(request: HttpRequest, version: int) -> HttpResponse:
    """Attest, 3.1.5.1, of protocol version 1 or 2."""
    if (wrong := _wrong_mode(OperationMode.TPM)) is not None:
        return wrong
    message = _message(request, _REQUESTS[version])
    if message is None:
        return reply(hgsa.PayloadErrorReply(retryable=False))
    answer = attest_command(message, timezone.now())
    if answer.reason:
        log.info("attestation answered with %s: %s", type(answer.reply).__name__, answer.reason)
    response = reply(answer.reply)
    if answer.attestation is not None:
        verdict = Verdict.from_json(answer.attestation.verdict)
        response["Attestation-Id"] = str(answer.attestation.id)
        response["Attestation-Status"] = verdict.status.value
        response["Attestation-Sub-Status"] = ",".join(item.value for item in verdict.sub_statuses)
    return response


@endpoint("POST")
def attest_by_domain(_request: HttpRequest) -> HttpResponse:
    """DomainAttest, 3.1.5.2: Active Directory mode, which this version does not have."""
    return _wrong_mode(OperationMode.ACTIVE_DIRECTORY) or reply(hgsa.UnavailableErrorReply(retryable=False))


@endpoint("POST")
def attest_by_host_key(_request: HttpRequest) -> HttpResponse:
    """HostKeyAttest, 3.1.5.3: host key mode, which this version does not have."""
    return _wrong_mode(OperationMode.HOST_KEY) or reply(hgsa.UnavailableErrorReply(retryable=False))


_REQUESTS: Final[dict[int, tuple[type[hgsa.Message], ...]]] = {
    1: (hgsa.TpmRequestInitial, hgsa.TpmRequestContinue),
    2: (hgsa.AttestationRequest,),
}


def _wrong_mode(needed: OperationMode) -> HttpResponse | None:
    """OperationModeErrorReply unless HGS is in the mode that an endpoint needs."""
    mode = configuration().mode
    if mode == needed:
        return None
    return reply(hgsa.OperationModeErrorReply(False, hgsa.AttestationOperationMode(mode)))


def _message(request: HttpRequest, expected: tuple[type[hgsa.Message], ...]) -> hgsa.Message | None:
    """The request's message if it is one of ``expected``; whatever else came is logged, not repeated."""
    try:
        message = hgsa.parse_message(read_body(request, hgsa.MAX_REQUEST, _JSON))
    except BodyRefused as error:
        log.info("attestation request refused: %s", error.message)
        return None
    except WireError as error:
        log.info("attestation request unreadable: %s", error.message)
        return None
    if not isinstance(message, expected):
        log.info("attestation request is a %s", type(message).__name__)
        return None
    return message
