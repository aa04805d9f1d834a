"""HostKeyAttest, [MS-HGSA] 3.1.5.3: host key mode."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from hgs.api.hgsa import answered, endpoint, message_of, reply, wrong_mode
from hgs.commands.attest_host_key import attest_host_key
from hgs.models import OperationMode
from hgs.wire import hgsa


@endpoint("POST")
def attest_by_host_key(request: HttpRequest, is_rehearsal: bool = False) -> HttpResponse:
    """HostKeyAttest; or its rehearsal, which gives no certificate."""
    if (wrong := wrong_mode(OperationMode.HOST_KEY, is_rehearsal=is_rehearsal)) is not None:
        return wrong
    message = message_of(request, hgsa.AttestationRequest)
    if not isinstance(message, hgsa.AttestationRequest):
        return reply(hgsa.PayloadErrorReply(retryable=False))
    return answered(attest_host_key(message, timezone.now(), is_rehearsal=is_rehearsal))
