"""Enforces a REST view's `access`, for callers by session and by token alike."""

from typing import Any

from django.http import Http404
from rest_framework.exceptions import APIException
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from portal.accounts.body_limits import exceeds, limit_for, sentence
from portal.accounts.models import ApiToken, User
from portal.kernel.actor import Actor, user_actor
from portal.web.access import Access, admits

READ_ONLY = "This token may only read. Use one that was made without Read only."


def actor_of(request: Request) -> Actor:
    """The caller as an actor; `via` names the API token, if one was used."""
    user = request.user
    if not isinstance(user, User):
        raise TypeError("an anonymous request has no actor")
    return user_actor(user, via=request.auth.name if isinstance(request.auth, ApiToken) else "")


class BodyTooLarge(APIException):
    """413, before any parser has read the body."""

    status_code = 413


class AccessPermission(BasePermission):
    """401 for nobody, 404 for somebody of the other portal, 403 for a read-only token that writes, 413 for too much."""

    message: str | None = None

    def has_permission(self, request: Request, view: Any) -> bool:
        access = getattr(view, "access", None)
        if access in (Access.PUBLIC, Access.HOST):
            return True
        if not isinstance(access, Access):
            raise Http404
        if not request.user.is_authenticated:
            return False
        if isinstance(request.auth, ApiToken) and request.auth.read_only and request.method not in SAFE_METHODS:
            self.message = READ_ONLY
            return False
        if not admits(access, actor_of(request)):
            raise Http404
        limit = limit_for(request.user, view)
        if limit is not None and exceeds(request._request, limit):
            raise BodyTooLarge(sentence(limit))
        return True
