"""The people of HGS, for those who read about them and for the commands that change them."""

from typing import Final

from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from hgs.policy import Action, may
from portal.accounts.models import User
from portal.kernel.actor import Actor, Role
from portal.kernel.errors import NotFound
from portal.kernel.policy import require

_ROLES: Final = (Role.HGS_ADMIN.value, Role.HGS_REVIEWER.value)


def people(actor: Actor) -> QuerySet[User]:
    """Administrators and reviewers by name, those who are disabled too."""
    require(may(actor, Action.READ))
    return get_user_model().objects.filter(role__in=_ROLES).order_by("username")


def person(actor: Actor, name: str) -> User:
    """One of them, whatever the case of the name. Raises NotFound."""
    found = people(actor).filter(username__iexact=name).first()
    if found is None:
        raise NotFound("no-such-person", f"HGS has no account named {name[:64]}.", "List them: gf hgs admin list")
    return found
