"""Reads of the account of keys, for the people of HGS: every release and refusal, and the log that holds them."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from hgs.models import Attestation, KeyRelease
from hgs.policy import Action, may
from hgs.selectors import key_log
from hgs.transparency.note import VerifierKey
from portal.kernel.actor import Actor
from portal.kernel.errors import Unavailable
from portal.kernel.policy import require

RESULTS: Final = ("released", "refused")
_HEX: Final = re.compile(r"[0-9a-f]{4,64}", re.ASCII)


@dataclass(frozen=True)
class LogCard:
    """The key log as its administrator tells tenants about it: how long it is, its checkpoint, its key."""

    size: int
    checkpoint: str
    key: VerifierKey


def releases(actor: Actor) -> QuerySet[KeyRelease]:
    """Every release and refusal, newest first. ``verdict_kept``: whether the verdict can still be looked at."""
    require(may(actor, Action.READ))
    verdicts = Attestation.objects.filter(pk=OuterRef("attestation_id"))
    return KeyRelease.objects.annotate(verdict_kept=Exists(verdicts)).order_by("-at", "-log_index")


def filtered(
    actor: Actor, *, host: str = "", owner: str = "", vm: str = "", result: str = "", since: str = "", until: str = ""
) -> QuerySet[KeyRelease]:
    """Those of a host (name), owner (fingerprint or how it begins), VM (id), result and days (UTC), newest first.

    What is no fingerprint, id or day finds nothing: a mistyped one must not look like all of them.
    """
    found = releases(actor)
    if host:
        found = found.filter(host_name__iexact=host)
    if owner:
        digits = re.sub(r"[\s:\-]", "", owner).lower()
        found = found.filter(owner_fingerprint__startswith=digits) if _HEX.fullmatch(digits) else found.none()
    if vm:
        wanted = _id(vm)
        found = found.none() if wanted is None else found.filter(vm_id=wanted)
    if result:
        found = found.filter(released=result == "released") if result in RESULTS else found.none()
    return _of_days(found, since, until)


def key_log_card(actor: Actor) -> LogCard | None:
    """The log's size, checkpoint and key; None while HGS has no key for it."""
    require(may(actor, Action.READ))
    try:
        key = key_log.log_key().verifier
        return LogCard(key_log.size(), key_log.checkpoint().decode(), key)
    except Unavailable:
        return None


def _of_days(found: QuerySet[KeyRelease], since: str, until: str) -> QuerySet[KeyRelease]:
    if since:
        begin = _day(since)
        found = found.none() if begin is None else found.filter(at__gte=begin)
    if until:
        end = _day(until)
        found = found.none() if end is None else found.filter(at__lt=end + timedelta(days=1))
    return found


def _day(text: str) -> datetime | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime.combine(day, time(), UTC) if 1 < day.year < 9999 else None


def _id(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
