"""Revocations: an owner says that key protectors must not be opened any more, and HGS follows.

The owner's signature is the authority, so anybody may bring a notice; it counts for protectors of that owner alone.
A protector that HGS rolled is one link of a chain, and whoever kept another link could ask with that one. So a notice
that names a link counts for the whole chain: what it was rolled from, but not the owner's own document at its
beginning, from which other virtual machines may come, and everything that was rolled from it since.
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

CHAIN_MAX: Final = 10_000


def revoke_protectors(actor: Actor, notice: bytes, now: datetime) -> int:
    """Refuse the protectors of a notice from now on, on every node; how many are new among the refused ones.

    The same notice again changes nothing. Raises Invalid for a notice that is none.
    """
    require(may(actor, Action.SUBMIT))
    try:
        parsed = parse_notice(notice)
    except RevocationError as error:
        raise Invalid(error.code, error.message, error.advice) from error
    owner, digest = parsed.owner_fingerprint, hashlib.sha256(notice).hexdigest()
    with transaction.atomic():
        revoked = _chains(parsed)
        known = set(RevokedProtector.objects.filter(owner_fingerprint=owner).values_list("protector_hash", flat=True))
        new = sorted(revoked - known)
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
        summary=f"An owner revoked {len(new)} key protector{'s' if len(new) > 1 else ''}.",
        data={"notice_sha256": digest, "named": sorted(notice.protector_hashes), "revoked": len(new)},
    )


def _chains(notice: RevocationNotice) -> set[str]:
    found = set(notice.protector_hashes)
    for named in notice.protector_hashes:
        before = _before(named, notice.owner_fingerprint)
        if before is not None:  # it was rolled by HGS
            found |= _older_links(before, notice.owner_fingerprint) | _newer_links(named, notice.owner_fingerprint)
        if len(found) > CHAIN_MAX:
            raise Conflict(
                "chain-too-long", f"The notice reaches more than {CHAIN_MAX} protectors.", "Name fewer protectors."
            )
    return found


def _older_links(link: str, owner: str) -> set[str]:
    """The link and what it was rolled from, as far as HGS rolled it."""
    found: set[str] = set()
    while link not in found and len(found) <= CHAIN_MAX and (before := _before(link, owner)) is not None:
        found.add(link)
        link = before
    return found


def _newer_links(link: str, owner: str) -> set[str]:
    """Everything that was rolled from the link."""
    found: set[str] = set()
    newest = {link}
    while newest and len(found) <= CHAIN_MAX:
        rolled = KeyRelease.objects.filter(protector_hash__in=newest, owner_fingerprint=owner, released=True)
        newest = set(rolled.values_list("egress_hash", flat=True)) - found
        found |= newest
    return found


def _before(link: str, owner: str) -> str | None:
    """What HGS rolled into this protector; None for one that it did not make."""
    return (
        KeyRelease.objects.filter(egress_hash=link, owner_fingerprint=owner, released=True)
        .values_list("protector_hash", flat=True)
        .first()
    )
