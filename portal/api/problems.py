"""Errors as problem documents (RFC 9457), `application/problem+json`.

Beside `type`, `title`, `status` and `detail` a problem has `code` (stable, for programs), `advice` (what to do),
`fields` (what is wrong with each field of the request) and `instance` (`urn:request:<id>`, which finds the log lines).
`type` is `about:blank` for plain HTTP errors and `/api/problems/<code>` for those of the fabric.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from portal.kernel.errors import DomainError, Invalid, Unavailable

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"


_ADVICE = {
    400: "Send JSON that fits the description at /api/docs/.",
    401: "Make an API token in the portal under My account and send it as a bearer token; gf reads it from GF_TOKEN.",
    405: "The methods of each address are described at /api/docs/.",
    415: "Send the body as application/json, or as the description at /api/docs/ says.",
}


class ProblemRenderer(JSONRenderer):
    media_type = CONTENT_TYPE
    charset = None


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    advice: str = "",
    fields: Mapping[str, Any] | None = None,
    instance: str = "",
) -> dict[str, Any]:
    """A problem document without its empty members."""
    document = {
        "type": "about:blank" if code.startswith("http-") else f"/api/problems/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "advice": advice,
        "fields": dict(fields or {}),
        "instance": instance,
    }
    return {name: value for name, value in document.items() if value not in ("", {})}


def _flatten(detail: Any, prefix: str = "") -> dict[str, str]:
    """DRF's nested validation errors as one sentence per dotted field."""
    if isinstance(detail, Mapping):
        pairs = [_flatten(value, f"{prefix}.{name}" if prefix else str(name)) for name, value in detail.items()]
        return {name: sentence for found in pairs for name, sentence in found.items()}
    if isinstance(detail, list):
        return {prefix or "request": " ".join(str(item) for item in detail)}
    return {prefix or "request": str(detail)}


def _document(error: Exception, instance: str) -> dict[str, Any] | None:
    match error:
        case DomainError():
            fields = error.fields if isinstance(error, Invalid) else {}
            return problem(
                error.status, error.code, error.message, advice=error.advice, fields=fields, instance=instance
            )
        case Http404() | ObjectDoesNotExist():
            return problem(404, "http-not-found", "There is nothing here that you may see.", instance=instance)
        case PermissionDenied():
            return problem(403, "http-forbidden", "You may not do this.", instance=instance)
        case exceptions.ValidationError():
            return problem(
                400, "invalid-request", "The request is not valid.", fields=_flatten(error.detail), instance=instance
            )
        case exceptions.APIException():
            name = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
            advice = _ADVICE.get(error.status_code, "")
            return problem(error.status_code, f"http-{name}", str(error.detail), advice=advice, instance=instance)
    return None


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler; None (a fault of ours) lets Django answer 500 and log the traceback."""
    request = context.get("request")
    request_id = getattr(request, "request_id", "")
    document = _document(error, f"urn:request:{request_id}" if request_id else "")
    if document is None:
        return None
    if isinstance(error, DomainError):
        log.info("refused: %s %s", error.code, error.details)
    set_rollback()
    headers = error.headers if isinstance(error, Unavailable) else {}
    if isinstance(error, exceptions.APIException):
        if header := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = header
        if wait := getattr(error, "wait", None):
            headers["Retry-After"] = str(int(wait))
    if request is not None:
        request.accepted_renderer = ProblemRenderer()
        request.accepted_media_type = CONTENT_TYPE
    return Response(document, status=document["status"], headers=headers, content_type=CONTENT_TYPE)
