"""How much somebody may send, by who they are, checked before anything reads it.

Django's CSRF check reads a form before any view does, and writes the form's files to disk however large they are; REST
framework reads JSON of any size into memory. Without a limit here, anybody could fill the disk with a form nobody asked
for.
"""

from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from portal.kernel.actor import Role

ANONYMOUS_MOST: Final = 64 * 1024
"""A name and a password."""
MOST: Final = 4 * 2**20
"""Twice the largest file a tenant has. Fabric administrators publish disks, whose limit is the library's."""


def limit_for(user: Any, view: object = None) -> int | None:
    """The most bytes this person's request may have, None for one without a limit of this kind.

    A view that takes a larger file of a tenant says so by its attribute `body_most`.
    """
    if not user.is_authenticated:
        return ANONYMOUS_MOST
    return None if user.role == Role.FABRIC_ADMIN else _most_of(view)


def _most_of(view: object) -> int:
    view = getattr(view, "view_class", None) or getattr(view, "cls", None) or view
    return int(getattr(view, "body_most", MOST))


def exceeds(request: HttpRequest, limit: int | None) -> bool:
    """Whether the announced body is larger; a body that is not announced is never read."""
    announced = request.META.get("CONTENT_LENGTH") or "0"
    is_number = announced.isascii() and announced.isdigit()
    return limit is not None and not (is_number and int(announced) <= limit)


def sentence(limit: int) -> str:
    """What the sender is told."""
    size = f"{limit // 2**20} MiB" if limit >= 2**20 else f"{limit // 1024} KiB"
    return f"The request is larger than the {size} that are read here. Nothing of it was kept."


class BodyLimits:
    """Refuses what is too large. Stands before the CSRF check, so that its `process_view` comes first."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], _args: tuple[Any, ...], _kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        if not exceeds(request, ANONYMOUS_MOST):
            return None
        if not request.user.is_authenticated and getattr(view, "csrf_exempt", False):
            return None  # REST and HGS's protocols know their callers, and limit them, by other means
        limit = limit_for(request.user, view)
        if limit is None or not exceeds(request, limit):
            return None
        return HttpResponse(sentence(limit), status=413, content_type="text/plain; charset=utf-8")
