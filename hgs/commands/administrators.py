"""The people of HGS: administrators, who change it, and reviewers, who read it."""

import secrets
import string
from typing import Final

from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import transaction

from hgs.policy import Action, may
from hgs.selectors.people import person
from portal.accounts.models import User
from portal.kernel import audit
from portal.kernel.actor import Actor, Role
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require

_ALPHABET: Final = string.ascii_letters + string.digits
_GENERATED_LENGTH: Final = 20


def generate_password() -> str:
    """A password of about 119 bits, letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED_LENGTH))


def add_administrator(actor: Actor, name: str, password: str, *, reviewer: bool = False) -> None:
    """Add a person to HGS's own accounts.

    Raises Conflict for a name that is taken, Invalid for a name or a password that cannot be used.
    """
    require(may(actor, Action.MANAGE_ADMINISTRATORS))
    role = Role.HGS_REVIEWER if reviewer else Role.HGS_ADMIN
    model = get_user_model()
    if model.objects.filter(username__iexact=name).exists():
        raise Conflict("user-name-taken", f"HGS has an account named {name} already.")
    user = model(username=name, role=role.value)
    user.set_password(password)
    try:
        user.full_clean()
    except ValidationError as error:
        raise Invalid("user-invalid", " ".join(error.messages)) from error
    _check_password(password, user)
    with transaction.atomic():
        user.save()
        audit.record(
            actor,
            "administrator:added",
            target_type="user",
            target_id=user.pk,
            summary=f"{name} added as {role.value}.",
            data={"name": name, "role": role.value},
        )


def set_password(actor: Actor, name: str, password: str) -> None:
    """Give a person a new password; every session of theirs ends.

    Raises NotFound for a name that HGS does not know, Invalid for a password that cannot be used.
    """
    require(may(actor, Action.MANAGE_ADMINISTRATORS))
    with transaction.atomic():
        user = person(actor, name)
        _check_password(password, user)
        user.set_password(password)
        user.save(update_fields=["password"])
        _end_sessions(user)
        _record(actor, "administrator:password-set", user, f"{user.username} was given a new password.")


def set_enabled(actor: Actor, name: str, enabled: bool) -> bool:
    """Let a person sign in, or no more: their sessions end at once. Returns whether that is a change.

    Raises NotFound for a name that HGS does not know, Conflict for the last administrator who can sign in.
    """
    require(may(actor, Action.MANAGE_ADMINISTRATORS))
    with transaction.atomic():
        # All of them are locked, so that two who disable each other at once do not leave nobody.
        list(get_user_model().objects.select_for_update().filter(role=Role.HGS_ADMIN.value))
        user = person(actor, name)
        if user.is_active is enabled:
            return False
        if not enabled:
            _check_not_last(user)
            _end_sessions(user)
        user.is_active = enabled
        user.save(update_fields=["is_active"])
        word = "enabled" if enabled else "disabled"
        _record(actor, f"administrator:{word}", user, f"{user.username} was {word}.")
    return True


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid("user-invalid", " ".join(error.messages)) from error


def _check_not_last(user: User) -> None:
    others = get_user_model().objects.filter(role=Role.HGS_ADMIN.value, is_active=True).exclude(pk=user.pk)
    if user.role == Role.HGS_ADMIN.value and not others.exists():
        raise Conflict(
            "last-administrator",
            f"{user.username} is the last administrator of HGS who can sign in.",
            "Add or enable another first: gf hgs admin add NAME",
        )


def _end_sessions(user: User) -> None:
    """Sessions are removed, not only refused: those of a disabled person would come back with the person."""
    for session in Session.objects.iterator():
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            session.delete()


def _record(actor: Actor, event: str, user: User, summary: str) -> None:
    audit.record(actor, event, target_type="user", target_id=user.pk, summary=summary, data={"name": user.username})
