"""Passing an owner's revocation notice on to HGS.

The owner's signature is the authority, so a tenant may bring any owner's notice; it counts for that owner's protectors
alone. The owner need not be named by shielding data of the tenant: that may be gone while its VMs' old protectors are
not, and anybody can upload shielding data of an owner made up for it. What is bounded is how much one account makes HGS
keep, a row for each protector named. The audit events of the last day are the count, and their lock orders requests.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from fabric.guardian_service import fabric_client
from hgs.keyprotection.errors import RevocationError
from hgs.keyprotection.revocation import RevocationNotice, parse_notice
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, DomainError, Invalid
from portal.kernel.models import AuditEvent
from portal.kernel.policy import require
from tenants.policy import decide_own_keys

MOST_A_DAY: Final = 2560
"""Protectors that one account's notices may name in 24 hours: ten of the largest notices."""
DAY: Final = timedelta(hours=24)
SENDING, SENT, FAILED = "revocation:sending", "revocation:sent", "revocation:failed"
_TIMEOUT_SECONDS: Final = 20.0
"""HGS follows the chains of what a notice names, which takes longer than other requests."""


@dataclass(frozen=True, slots=True)
class PassedOn:
    """A notice that HGS has. `named`: protectors in it; `revoked`: newly refused ones, links of their chains too."""

    owner: str
    named: int
    revoked: int


def pass_on_notice(actor: Actor, notice: bytes) -> PassedOn:
    """Give HGS an owner's notice, byte for byte; the same again changes nothing.

    Raises `Denied`, `Invalid` (the code of what is wrong with the notice; field `file`), `Conflict`
    (`too-many-revocations`, `hgs-refused`), `Unavailable` (`hgs-unavailable`).
    """
    require(decide_own_keys(actor))
    parsed = _parsed(notice)
    digest = hashlib.sha256(notice).hexdigest()
    _begin(actor, parsed, digest)
    try:
        with fabric_client(_TIMEOUT_SECONDS) as hgs:
            revoked = hgs.revoke(notice)
    except DomainError as error:
        _record(actor, FAILED, parsed, digest, "Could not pass on a revocation notice", reason=error.code)
        raise
    count = len(parsed.protector_ids)
    _record(actor, SENT, parsed, digest, f"Passed on a revocation notice: {revoked} newly refused", revoked=revoked)
    return PassedOn(parsed.owner_fingerprint, count, revoked)


def _parsed(notice: bytes) -> RevocationNotice:
    try:
        return parse_notice(notice)
    except RevocationError as error:
        said = f"{error.message} {error.advice}".strip()
        raise Invalid(error.code, error.message, error.advice, fields={"file": said}) from error


def _begin(actor: Actor, notice: RevocationNotice, digest: str) -> None:
    """Count the notice before it is sent, so that requests at the same time do not all pass the limit."""
    with transaction.atomic():
        _record(actor, SENDING, notice, digest, "Took a revocation notice for HGS")
        if _named_lately(actor) > MOST_A_DAY:
            raise Conflict(
                "too-many-revocations",
                f"Your notices of the last 24 hours would name more than {MOST_A_DAY} key protectors.",
                "Send the rest tomorrow, or give the notices to the HGS administrator: gf hgs revoke.",
            )


def _named_lately(actor: Actor) -> int:
    """How many protectors the account's notices of the last day named, without those that HGS did not take."""
    events = AuditEvent.objects.filter(
        event__in=(SENDING, FAILED), actor_id=actor.id, at__gt=timezone.now() - DAY
    ).values_list("event", "data")
    return sum(int(data["named"]) * (1 if event == SENDING else -1) for event, data in events)


def _record(actor: Actor, event: str, notice: RevocationNotice, digest: str, summary: str, **more: Any) -> None:
    audit.record(
        actor, event, target_type="owner", target_id=notice.owner_fingerprint, summary=summary,
        data={"owner": notice.owner_fingerprint, "notice_sha256": digest, "named": len(notice.protector_ids)} | more,
    )  # fmt: skip
