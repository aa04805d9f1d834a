"""Reads of attestations."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery

from hgs.attestation.verdict import AttestationStatus, Verdict
from hgs.models import Attestation, OperationMode
from hgs.policy import Action, may
from portal.kernel.actor import Actor
from portal.kernel.errors import NotFound
from portal.kernel.policy import require

MAX_LISTED = 200
OUTCOMES: Final = ("passed", "failed", "rehearsal")
MODES: Final = {"tpm": OperationMode.TPM, "ad": OperationMode.ACTIVE_DIRECTORY, "host-key": OperationMode.HOST_KEY}


def attestations(actor: Actor, host: str = "") -> QuerySet[Attestation]:
    """Attestations, newest first, of one host or of all."""
    require(may(actor, Action.READ_VERDICTS))
    found = Attestation.objects.all()
    return found.filter(host_name__iexact=host) if host else found


def filtered(
    actor: Actor, *, host: str = "", outcome: str = "", mode: str = "", sub_status: str = ""
) -> QuerySet[Attestation]:
    """Attestations by host, outcome (one of ``OUTCOMES``), mode (a key of ``MODES``) and reason; newest first.

    What is none of these is ignored: an address somebody typed still shows a list.
    """
    found = attestations(actor, host)
    if outcome == "rehearsal":
        found = found.filter(is_rehearsal=True)
    elif outcome in OUTCOMES:
        found = found.filter(is_rehearsal=False, passed=outcome == "passed")
    if mode in MODES:
        found = found.filter(mode=MODES[mode])
    if sub_status:
        # As text, since SQLite cannot look into a list; the names are of a closed set and none is part of another
        # in quotation marks.
        found = found.filter(verdict__sub_statuses__icontains=f'"{sub_status}"')
    return found


def latest(actor: Actor, host: str = "", limit: int = 20) -> list[Attestation]:
    """The latest attestations, at most MAX_LISTED."""
    return list(attestations(actor, host)[: min(limit, MAX_LISTED)])


def attestation(actor: Actor, attestation_id: UUID) -> Attestation:
    """One attestation. Raises NotFound."""
    found = attestations(actor).filter(pk=attestation_id).first()
    if found is None:
        raise NotFound("no-such-attestation", "There is no such attestation, or it is too old to be kept.")
    return found


def chosen(actor: Actor, ids: Iterable[UUID]) -> list[Attestation]:
    """Attestations by id, in the order asked for; those that are gone are left out."""
    wanted = list(dict.fromkeys(ids))
    found = attestations(actor).select_related("log").in_bulk(wanted)
    return [found[one] for one in wanted if one in found]


def latest_measured(actor: Actor, identities: Iterable[str]) -> list[Attestation]:
    """The latest TPM attestation of each identity whose boot log is kept."""
    require(may(actor, Action.READ_VERDICTS))
    newest = (
        Attestation.objects.filter(
            identity=OuterRef("identity"), mode=OperationMode.TPM, proven=True, log__isnull=False
        )
        .order_by("-at")
        .values("pk")[:1]
    )
    found = Attestation.objects.filter(identity__in=list(identities), pk=Subquery(newest))
    return list(found.select_related("log").order_by("host_name"))


def latest_of_hosts(actor: Actor, names: Iterable[str]) -> list[Attestation]:
    """The latest attestation of each TPM host whose boot log is kept. Raises NotFound for a host that has none."""
    found = []
    for name in names:
        identities = attestations(actor, name).filter(proven=True, mode=OperationMode.TPM).values("identity")[:1]
        measured = latest_measured(actor, [row["identity"] for row in identities])
        if not measured:
            raise NotFound("no-such-attestation", f"No attestation of {name[:64]} with its boot log is kept.")
        found += measured
    return found


@dataclass(frozen=True)
class Turn:
    """When a host's outcome last changed: since ``at`` it is as it is now."""

    at: datetime
    passed: bool
    first: Attestation
    before: Attestation | None


def last_turn(actor: Actor, identity: str) -> Turn | None:
    """Since when the host passes or fails as it does now, and what was before; None for one that never attested.

    Only attestations that are kept count, and no rehearsals.
    """
    require(may(actor, Action.READ_VERDICTS))
    made = Attestation.objects.filter(identity=identity, proven=True, is_rehearsal=False)
    newest = made.first()
    if newest is None:
        return None
    before = made.filter(passed=not newest.passed).first()
    same = made.filter(passed=newest.passed)
    first = (same.filter(at__gt=before.at) if before else same).last()
    return Turn((first or newest).at, newest.passed, first or newest, before)


def verdict(found: Attestation) -> Verdict:
    """The verdict of an attestation, typed."""
    return Verdict.from_json(found.verdict)


def status_number(found: Attestation) -> int:
    """AttestationStatus as the number of the original's WMI class."""
    return AttestationStatus(found.status).number
