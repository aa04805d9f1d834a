"""Revocations: an owner says that key protectors must not be opened any more, and HGS follows.

The owner's signature is the authority, so anybody may bring a notice; it counts for protectors of that owner alone.
A protector that HGS rolled is one link of a chain, and whoever kept another link could ask with that one. So a notice
that names a link counts for the whole chain, links that are still to come among them: also for a release that is under
way while the notice comes in. The owner's own document at the beginning, from which other virtual machines may come,
is no link.
"""

import hashlib
from datetime import datetime
from typing import Final

from django.db import transaction

from hgs.keyprotection.errors import RevocationError
from hgs.keyprotection.revocation import RevocationNotice, parse_notice
from hgs.models import KeyRelease, RevokedProtector
from hgs.policy import Action, may
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require

MOST_OF_OWNER: Final = 20_000
MOST: Final = 1_000_000
"""Rows, of one owner and of all: anybody can be an owner, so what notices may fill is bounded."""


def revoke_protectors(actor: Actor, notice: bytes, now: datetime) -> int:
    """Refuse the protectors of a notice from now on, on every node; how many of them, and of chains, are new.

    The same notice again changes nothing. Raises Invalid for a notice that is none, Conflict where there is no room.
    """
    require(may(actor, Action.SUBMIT))
    try:
        parsed = parse_notice(notice)
    except RevocationError as error:
        raise Invalid(error.code, error.message, error.advice) from error
    owner, digest = parsed.owner_fingerprint, hashlib.sha256(notice).hexdigest()
    with transaction.atomic():
        of_owner = RevokedProtector.objects.filter(owner_fingerprint=owner)
        revoked = parsed.protector_ids | _chains(parsed)
        new = sorted(
            revoked - set(of_owner.filter(protector_hash__in=revoked).values_list("protector_hash", flat=True))
        )
        if of_owner.count() + len(new) > MOST_OF_OWNER or RevokedProtector.objects.count() + len(new) > MOST:
            raise Conflict("too-many-revocations", "HGS keeps no more revocations.", "Tell the HGS administrator.")
        RevokedProtector.objects.bulk_create(
            RevokedProtector(protector_hash=one, owner_fingerprint=owner, notice_hash=digest, at=now) for one in new
        )
        if new:
            _record(actor, parsed, digest, new)
    return len(new)


def _record(actor: Actor, notice: RevocationNotice, digest: str, new: list[str]) -> None:
    audit.record(
        actor,
        "protector:revoked",
        target_type="owner",
        target_id=notice.owner_fingerprint,
        summary=f"An owner revoked {len(notice.protector_ids)} key protector(s).",
        data={"notice_sha256": digest, "named": sorted(notice.protector_ids), "new": len(new)},
    )


def _chains(notice: RevocationNotice) -> set[str]:
    """The chains of which the notice names a link."""
    links = KeyRelease.objects.filter(
        egress_hash__in=notice.protector_ids, owner_fingerprint=notice.owner_fingerprint, released=True
    )
    return set(links.exclude(chain="").values_list("chain", flat=True))
