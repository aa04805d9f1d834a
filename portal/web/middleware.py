"""What the shell does to every request: a request id, the actor, the access decision, the last security headers."""

import logging
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.functional import SimpleLazyObject

from portal.kernel.actor import Actor, Role, user_actor
from portal.web.access import Access, admits, decision_of
from portal.web.registry import Portal

log = logging.getLogger(__name__)

PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "camera",
        "display-capture",
        "geolocation",
        "microphone",
        "payment",
        "publickey-credentials-get",
        "usb",
    )
)
ANONYMOUS_ACTOR_ERROR = "An anonymous request has no actor; the route's access decision should have kept it out."


def portal_of(access: Access | None, request: HttpRequest) -> Portal:
    """Which face a request belongs to: the route says so, shared pages follow the person's role."""
    if access is Access.FABRIC:
        return Portal.FABRIC
    if access is Access.TENANT:
        return Portal.TENANT
    user = request.user
    return Portal.FABRIC if getattr(user, "role", "") == Role.FABRIC_ADMIN else Portal.TENANT


def _actor(request: HttpRequest) -> Actor:
    user = request.user
    if not user.is_authenticated:
        raise ImproperlyConfigured(ANONYMOUS_ACTOR_ERROR)
    return user_actor(user)


class ShellMiddleware:
    """Enforces each route's `access`; a route without a decision is closed and logged as a fault."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = uuid.uuid4().hex[:12]
        request.request_id = request_id  # type: ignore[attr-defined]
        request.actor = SimpleLazyObject(lambda: _actor(request))  # type: ignore[attr-defined]
        request.portal = SimpleLazyObject(lambda: portal_of(None, request))  # type: ignore[attr-defined]
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        response.headers.setdefault("X-Request-Id", request_id)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        if getattr(request.user, "is_authenticated", False) and not response.has_header("Cache-Control"):
            response["Cache-Control"] = "private, no-store"
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], _args: tuple[Any, ...], _kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        if _guarded_elsewhere(request):
            return None
        access = decision_of(view)
        if access is None:
            log.error("route without an access decision: %s", request.path)
            raise Http404
        request.portal = portal_of(access, request)  # type: ignore[attr-defined]
        if access in (Access.PUBLIC, Access.HOST) or hasattr(view, "cls"):
            return None  # REST views know bearer tokens: portal.api.permissions enforces the same decision
        if not request.user.is_authenticated:
            return _sign_in_first(request)
        if not admits(access, request.actor):  # type: ignore[attr-defined]
            raise Http404
        return None


def _guarded_elsewhere(request: HttpRequest) -> bool:
    """Routes of another product served by the same process (only in tests), which enforces decisions of its own."""
    match = request.resolver_match
    return bool(match and match.app_names and match.app_names[0] in getattr(settings, "ACCESS_GUARDED_ELSEWHERE", ()))


def _sign_in_first(request: HttpRequest) -> HttpResponse:
    if getattr(request, "htmx", False):  # swapping a sign-in page into a table would help nobody
        return HttpResponse("Your session has ended. Sign in again.", status=401, content_type="text/plain")
    return redirect_to_login(request.get_full_path(), resolve_url(settings.LOGIN_URL))
