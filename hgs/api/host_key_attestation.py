"""HostKeyAttest, [MS-HGSA] 3.1.5.3: host key mode."""

from django.http import HttpRequest, HttpResponse

from hgs.api.hgsa import endpoint, reply, wrong_mode
from hgs.models import OperationMode
from hgs.wire import hgsa


@endpoint("POST")
def attest_by_host_key(_request: HttpRequest, is_rehearsal: bool = False) -> HttpResponse:
    """HostKeyAttest; or its rehearsal, which gives no certificate."""
    if (wrong := wrong_mode(OperationMode.HOST_KEY, is_rehearsal=is_rehearsal)) is not None:
        return wrong
    return reply(hgsa.UnavailableErrorReply(retryable=False))
