"""Keeps the list of a person's sessions in step with signing in and out, and audits both."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from portal.accounts.models import SignIn, User
from portal.kernel import audit
from portal.kernel.actor import user_actor

_BROWSER_LENGTH = 200


@receiver(user_logged_in)
def remember_session(request: HttpRequest | None, user: User, **_: Any) -> None:
    if request is None or not hasattr(request, "session") or request.session.session_key is None:
        return
    SignIn.objects.update_or_create(
        session_key=request.session.session_key,
        defaults={
            "user": user,
            "address": request.META.get("REMOTE_ADDR") or None,
            "browser": request.META.get("HTTP_USER_AGENT", "")[:_BROWSER_LENGTH],
        },
    )
    audit.record(
        user_actor(user), "session:begin", target_type="user", target_id=user.pk, summary=f"{user.username} signed in"
    )


@receiver(user_logged_out)
def forget_session(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is None:
        return
    SignIn.objects.filter(session_key=request.session.session_key or "").delete()
    audit.record(
        user_actor(user), "session:end", target_type="user", target_id=user.pk, summary=f"{user.username} signed out"
    )
