"""Whether this process lives, and whether it can serve."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from hgs.models import ServiceConfiguration
from hgs.selectors import keys
from portal.kernel.errors import Unavailable


@require_safe
def livez(_request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """The database answers, HGS is initialised and its keys open; 503 says which does not hold."""
    try:
        connection.ensure_connection()
        if not ServiceConfiguration.objects.exists():
            return _not_ready("HGS is not initialised.")
        keys.attestation_signer()
        keys.guardian_keys()[0]
    except DatabaseError:
        return _not_ready("The database does not answer, or its schema is not up to date.")
    except Unavailable as error:
        return _not_ready(str(error))
    return JsonResponse({"ready": True})


def _not_ready(reason: str) -> HttpResponse:
    return JsonResponse({"ready": False, "reason": reason}, status=503)
