"""DomainAttest, [MS-HGSA] 3.1.5.2: Active Directory mode."""

from django.http import HttpRequest, HttpResponse

from hgs.api.hgsa import endpoint, reply, wrong_mode
from hgs.models import OperationMode
from hgs.wire import hgsa


@endpoint("POST")
def attest_by_domain(_request: HttpRequest, version: int, is_rehearsal: bool = False) -> HttpResponse:
    """DomainAttest of protocol version 1 or 2; or its rehearsal, which gives no certificate."""
    if (wrong := wrong_mode(OperationMode.ACTIVE_DIRECTORY, is_rehearsal=is_rehearsal)) is not None:
        return wrong
    return reply(hgsa.UnavailableErrorReply(retryable=False), version)
