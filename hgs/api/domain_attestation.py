"""DomainAttest, [MS-HGSA] 3.1.5.2: Active Directory mode."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from hgs.api import negotiate
from hgs.api.hgsa import answered, body_of, endpoint, message_in, reply, wrong_mode
from hgs.commands.attest_domain import attest_domain
from hgs.models import OperationMode, PolicyVersion
from hgs.wire import hgsa


@endpoint("POST")
def attest_by_domain(request: HttpRequest, version: int, is_rehearsal: bool = False) -> HttpResponse:
    """DomainAttest of protocol version 1 or 2; or its rehearsal, which gives no certificate."""
    if (wrong := wrong_mode(OperationMode.ACTIVE_DIRECTORY, is_rehearsal=is_rehearsal)) is not None:
        return wrong
    if not negotiate.has_ticket(request):
        return negotiate.challenge()
    body = body_of(request)
    if body is None:
        return reply(hgsa.PayloadErrorReply(retryable=False), version)
    client = negotiate.client_of(request, body)
    if isinstance(client, HttpResponse):
        return client
    message = message_in(body, hgsa.ADRequest)
    if not isinstance(message, hgsa.ADRequest):
        return negotiate.prove(reply(hgsa.PayloadErrorReply(retryable=False), version), client)
    answer = attest_domain(
        message,
        client.account,
        timezone.now(),
        is_bound=client.is_bound,
        version=PolicyVersion(version),
        is_rehearsal=is_rehearsal,
    )
    return negotiate.prove(answered(answer, version), client)
