"""[MS-KPS]: the key protection service over HTTP.

Anonymous on purpose: the health certificate inside the request is the authority. Without cookies, so CSRF protection
is off. The specification names no HTTP statuses for errors; ours are in ``_STATUS``.
"""

import logging
from typing import Final
from uuid import UUID

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from hgs.api.requests import BodyRefused, read_body
from hgs.commands.release import AskedTooOften, ReleaseRefused, release_keys
from hgs.selectors import keys
from hgs.wire import kps
from hgs.wire.xmlform import XmlFormError
from portal.kernel.errors import Unavailable

log = logging.getLogger(__name__)

INVALID_REQUEST: Final = "InvalidRequestException"
UNAVAILABLE: Final = "ServiceUnavailableException"
VIRTUAL_MACHINE: Final = "Virtual-Machine"
RETRY_AFTER: Final = 30
_STATUS: Final = {"HealthCertificateException": 403}
_NOT_KEPT: Final = "no-cache, no-store, must-revalidate, private"
_XML: Final = f"{kps.CONTENT_TYPE}; charset=utf-8"


@csrf_exempt
def roll_transport_key(request: HttpRequest, version: int) -> HttpResponse:
    """RollTransportKey, 3.1.5.1.1, of API version 1 or 2."""
    if request.method != "POST":
        return HttpResponse(status=405, headers={"Allow": "POST"})
    try:
        message = kps.parse_request(read_body(request, kps.MESSAGE_MAX, kps.CONTENT_TYPES))
        response = release_keys(message, timezone.now(), payload_version=version, vm_id=_virtual_machine(request))
    except BodyRefused as refused:
        return error(refused.status, INVALID_REQUEST, refused.message)
    except XmlFormError as malformed:
        return error(400, INVALID_REQUEST, malformed.message)
    except ReleaseRefused as refused:
        return error(_STATUS.get(refused.fault, 400), refused.fault or INVALID_REQUEST, refused.message)
    except AskedTooOften:
        return _later()
    except Unavailable as unavailable:
        return error(503, UNAVAILABLE, unavailable.message)
    except DatabaseError:
        log.exception("no key was released: the release could not be logged")
        return error(503, UNAVAILABLE, "HGS cannot log a release now, so it releases no key. Try again later.")
    return _document(kps.serialise_response(response))


def _virtual_machine(request: HttpRequest) -> UUID | None:
    """For which virtual machine the host asks, as it says itself; for the log alone, so nonsense is as nothing."""
    try:
        return UUID(request.headers.get(VIRTUAL_MACHINE, ""))
    except ValueError:
        return None


def _later() -> HttpResponse:
    response = error(429, UNAVAILABLE, "Too many requests came from here lately. Nothing was decided; ask later.")
    response["Retry-After"] = str(RETRY_AFTER)
    return response


@csrf_exempt
def metadata(request: HttpRequest) -> HttpResponse:
    """GetMetadata, 3.1.5.2: by GET, and by POST because one paragraph of the specification says so."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    try:
        return _document(keys.guardian_metadata())
    except Unavailable as unavailable:
        return error(503, UNAVAILABLE, unavailable.message)


def error(status: int, code: str, message: str) -> HttpResponse:
    """The specification's Error document."""
    return _document(kps.serialise_error(kps.KpsError(code, message)), status)


def _document(content: bytes, status: int = 200) -> HttpResponse:
    """A document that nobody may keep."""
    return HttpResponse(content, status=status, content_type=_XML, headers={"Cache-Control": _NOT_KEPT})
