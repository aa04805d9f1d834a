"""Everything that changes accounts: people, their API tokens and their sessions."""

from datetime import datetime, timedelta

from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from portal.accounts import tokens
from portal.accounts.models import ApiToken, SignIn, User
from portal.kernel import audit
from portal.kernel.actor import Actor, Role
from portal.kernel.errors import Conflict, Invalid, NotFound

MOST_TOKENS = 50


def create_user(actor: Actor, *, username: str, password: str, role: Role, email: str = "") -> User:
    """Add a person.

    Raises:
        Conflict: the name is taken.
        Invalid: the password is too weak.
    """
    user = User(username=username, email=email, role=role.value)
    _check_password(password, user)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
            audit.record(
                actor,
                "user:create",
                target_type="user",
                target_id=user.pk,
                summary=f"{username} was added as {role.value}",
            )
    except IntegrityError as error:
        raise Conflict("user-exists", f"There is a user {username} already.", "Choose another name.") from error
    return user


def _check_password(password: str, user: User, field: str = "password") -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(
            "weak-password", "The password was not accepted.", fields={field: " ".join(error.messages)}
        ) from error


def change_password(actor: Actor, user: User, *, current: str, new: str) -> None:
    """Change one's own password; every other session of the person ends.

    Raises:
        Invalid: the current password is wrong, or the new one too weak.
    """
    if not user.check_password(current):
        raise Invalid(
            "wrong-password", "The password was not changed.", fields={"current": "This is not your password."}
        )
    _check_password(new, user, "new")
    with transaction.atomic():
        user.set_password(new)
        user.save(update_fields=["password"])
        audit.record(
            actor, "user:change-password", target_type="user", target_id=user.pk, summary=f"{user} changed the password"
        )


def create_token(
    actor: Actor, user: User, *, name: str, days: int | None = 90, read_only: bool = False
) -> tuple[ApiToken, str]:
    """Make an API token; the second value is the token itself, which nobody can show again.

    Raises:
        Conflict: the person has as many tokens as one may have.
        Unavailable: the portal has no pepper.
    """
    now = timezone.now()
    if usable_tokens(user, now) >= MOST_TOKENS:
        raise Conflict("too-many-tokens", f"You have {MOST_TOKENS} tokens already.", "Revoke one that is not in use.")
    key_id, token, pepper, digest = tokens.mint()
    with transaction.atomic():
        row = ApiToken.objects.create(
            key_id=key_id,
            user=user,
            name=name,
            pepper=pepper,
            digest=digest,
            read_only=read_only,
            expires_at=now + timedelta(days=days) if days else None,
        )
        audit.record(
            actor, "api-token:create", target_type="api-token", target_id=key_id, summary=f"{user} made token {name}"
        )
    return row, token


def usable_tokens(user: User, now: datetime) -> int:
    return sum(token.is_usable(now) for token in ApiToken.objects.filter(user=user, revoked_at=None))


def revoke_token(actor: Actor, user: User, key_id: str) -> ApiToken:
    """End a token of the person's own, at once.

    Raises:
        NotFound: the person has no such token in use.
    """
    with transaction.atomic():
        changed = ApiToken.objects.filter(user=user, key_id=key_id, revoked_at=None).update(revoked_at=timezone.now())
        if not changed:
            raise NotFound("no-such-token", "You have no such token in use.")
        row = ApiToken.objects.get(key_id=key_id)
        audit.record(
            actor, "api-token:revoke", target_type="api-token", target_id=key_id, summary=f"{user} revoked {row.name}"
        )
    return row


def end_session(actor: Actor, user: User, sign_in_id: int) -> None:
    """Sign the person out of one of their sessions.

    Raises:
        NotFound: the person has no such session.
    """
    row = SignIn.objects.filter(user=user, pk=sign_in_id).first()
    if row is None:
        raise NotFound("no-such-session", "You have no such session.")
    SessionStore(row.session_key).delete()
    with transaction.atomic():
        row.delete()
        audit.record(
            actor,
            "session:end",
            target_type="user",
            target_id=user.pk,
            summary=f"{user} ended a session from {row.address}",
        )
