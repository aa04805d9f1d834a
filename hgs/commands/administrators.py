"""The people of HGS: administrators, who change it, and reviewers, who read it."""

import secrets
import string
from typing import Final

from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from hgs.policy import Action, may
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
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid("user-invalid", " ".join(error.messages)) from error
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
