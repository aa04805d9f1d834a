"""Reads of the log of keys."""

from django.db.models import QuerySet

from hgs.models import KeyRelease
from hgs.policy import Action, may
from portal.kernel.actor import Actor
from portal.kernel.policy import require


def releases(actor: Actor) -> QuerySet[KeyRelease]:
    """Every release and refusal, newest first."""
    require(may(actor, Action.READ))
    return KeyRelease.objects.all()
