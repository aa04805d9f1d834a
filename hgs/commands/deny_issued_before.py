"""A moment before which no health certificate may have been issued: of one signer, or of any.

For when hosts passed that should not have: their certificates open nothing from the next request on, on every node.
Hosts that are well attest again by themselves.
"""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from hgs.models import KeyPurpose, ServiceConfiguration, ServiceKey
from hgs.models.stamped import renew_stamp
from hgs.policy import Action, may
from hgs.selectors.configuration import configuration
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require


def deny_issued_before(actor: Actor, moment: datetime, signer: ServiceKey | None = None) -> None:
    """Refuse health certificates that were issued before ``moment``, of ``signer`` or of any signer.

    Raises Invalid for a moment that is still to come: nothing that is issued until then would open anything.
    """
    require(may(actor, Action.MANAGE_KEYS))
    if moment.tzinfo is None:
        raise Invalid("moment-without-zone", "The moment has no time zone.", "Write it like 2026-11-27T14:00:00+00:00.")
    if moment > timezone.now():
        raise Invalid(
            "moment-to-come",
            "The moment is still to come: until then, no health certificate would open anything.",
            "Give one that has passed, or now.",
        )
    _set(actor, moment, signer)


def clear_deny_issued_before(actor: Actor, signer: ServiceKey | None = None) -> None:
    """Let certificates of any age count again, of ``signer`` or (as far as all are concerned) of any signer.

    Where nothing was refused, nothing changes.
    """
    require(may(actor, Action.MANAGE_KEYS))
    _set(actor, None, signer)


def _set(actor: Actor, moment: datetime | None, signer: ServiceKey | None) -> None:
    configuration()
    with transaction.atomic():
        row = _of_all() if signer is None else _of_signer(signer)
        before = row.deny_issued_before
        if before == moment:
            return
        row.deny_issued_before = moment
        row.save(update_fields=["deny_issued_before"])
        renew_stamp()
        fingerprint = row.fingerprint if isinstance(row, ServiceKey) else ""
        audit.record(
            actor,
            "signer:deny-issued-before",
            target_type="service-key" if fingerprint else "hgs",
            target_id=row.pk,
            summary=_summary(moment, fingerprint),
            data={
                "signer": fingerprint,
                "moment": moment.isoformat() if moment else None,
                "before": before.isoformat() if before else None,
            },
        )


def _of_all() -> ServiceConfiguration:
    return ServiceConfiguration.objects.select_for_update().get()


def _of_signer(signer: ServiceKey) -> ServiceKey:
    rows = ServiceKey.objects.select_for_update().filter(purpose=KeyPurpose.ATTESTATION_SIGNER)
    found = rows.filter(pk=signer.pk).first()
    if found is None:
        raise Conflict("signer-gone", "There is no such attestation signer.", "List them: gf hgs signer list")
    return found


def _summary(moment: datetime | None, fingerprint: str) -> str:
    whose = f"signer {fingerprint[:16]}" if fingerprint else "any signer"
    if moment is None:
        return f"Health certificates of {whose} count again whenever they were issued."
    return f"Health certificates of {whose} issued before {moment:%Y-%m-%d %H:%M:%S %Z} open nothing any more."
