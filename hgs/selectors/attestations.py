"""Reads of attestations."""

from uuid import UUID

from django.db.models import QuerySet

from hgs.models import Attestation
from hgs.policy import Action, may
from portal.kernel.actor import Actor
from portal.kernel.errors import NotFound
from portal.kernel.policy import require

MAX_LISTED = 200


def attestations(actor: Actor, host: str = "") -> QuerySet[Attestation]:
    """Attestations, newest first, of one host or of all."""
    require(may(actor, Action.READ_VERDICTS))
    found = Attestation.objects.all()
    return found.filter(host_name__iexact=host) if host else found


def latest(actor: Actor, host: str = "", limit: int = 20) -> list[Attestation]:
    """The latest attestations, at most MAX_LISTED."""
    return list(attestations(actor, host)[: min(limit, MAX_LISTED)])


def attestation(actor: Actor, attestation_id: UUID) -> Attestation:
    """One attestation. Raises NotFound."""
    found = attestations(actor).filter(pk=attestation_id).first()
    if found is None:
        raise NotFound("no-such-attestation", "There is no such attestation, or it is too old to be kept.")
    return found
