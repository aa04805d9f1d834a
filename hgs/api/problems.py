"""Problem documents (RFC 9457) of the fabric API."""

from typing import Any

from django.http import JsonResponse

from portal.kernel.errors import DomainError, Invalid


def problem(status: int, code: str, detail: str, **more: Any) -> JsonResponse:
    """A problem document; ``code`` is stable, ``detail`` a sentence."""
    body = {"type": f"urn:guarded-fabric:{code}", "status": status, "code": code, "detail": detail} | more
    return JsonResponse(body, status=status, content_type="application/problem+json")


def problem_of(error: DomainError) -> JsonResponse:
    """The problem document of a command's error."""
    more: dict[str, Any] = {"advice": error.advice} if error.advice else {}
    if isinstance(error, Invalid) and error.fields:
        more["fields"] = error.fields
    return problem(error.status, error.code, error.message, **more)
