"""The account of keys, read: an owner's entries for the fabric to show, and the bundle that proves them."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from hgs.models import KeyRelease
from hgs.policy import Action, may
from hgs.selectors import key_log
from hgs.transparency.bundle import Disclosure, write_bundle
from hgs.transparency.checkpoint import open_checkpoint
from hgs.transparency.entry import KeyEvent
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid, NotFound
from portal.kernel.policy import require

MOST: Final = 200
_PIECE: Final = 4096


def event_of(row: KeyRelease) -> KeyEvent:
    """The event that a row is the record of: what its leaf commits to."""
    return KeyEvent(
        at=row.at,
        result="released" if row.released else "refused",
        reason=row.reason,
        message=row.message,
        protector=row.protector_hash,
        egress=row.egress_hash,
        vm=str(row.vm_id) if row.vm_id else "",
        owner=row.owner_fingerprint,
        guardian=row.guardian_fingerprint,
        host=row.host_identity,
        host_name=row.host_name,
        certificate=row.certificate_serial,
        verdict=str(row.attestation_id) if row.attestation_id else "",
        offline=row.offline_unwraps,
    )


def events(
    actor: Actor, *, owner: str, vm: UUID | None = None, before: int | None = None, limit: int = 50
) -> list[tuple[int, KeyEvent]]:
    """An owner's entries, of one virtual machine or of all, newest first: (index in the log, event).

    ``before``: only entries with a lower index, for the next page. Raises Invalid for an owner that is no fingerprint.
    """
    require(may(actor, Action.READ_VERDICTS))
    found = _of(owner)
    if vm is not None:
        found = found.filter(vm_id=vm)
    if before is not None:
        found = found.filter(log_index__lt=before)
    return [(_index(row), event_of(row)) for row in found.order_by("-log_index")[: max(1, min(limit, MOST))]]


def bundle(actor: Actor, *, owner: str, begin: int) -> Iterator[bytes]:
    """The bundle by which an owner checks the log from entry ``begin`` on, offline; its bytes as they are asked for.

    What was appended since the checkpoint was read is left out. Raises Invalid, NotFound for a size that the log never
    had, Unavailable.
    """
    require(may(actor, Action.READ_VERDICTS))
    mine = _of(owner)
    log = key_log.log_key()
    note = key_log.checkpoint()
    end = open_checkpoint(note, log.verifier).size
    if begin > end:
        raise NotFound("no-such-size", f"The log has {end} entries, fewer than {begin}.")
    frontier = key_log.frontier_at(begin).serialise()
    rows = mine.filter(log_index__gte=begin, log_index__lt=end).order_by("log_index").iterator(_PIECE)
    disclosures = (Disclosure(_index(row), event_of(row).serialise(), bytes(row.blinding)) for row in rows)
    leaves = (leaf for at in range(begin, end, _PIECE) for leaf in key_log.leaves(at, min(at + _PIECE, end)))
    return write_bundle(note, log.verifier, begin, frontier, leaves, disclosures)


def _of(owner: str) -> QuerySet[KeyRelease]:
    if len(owner) != 64 or not set(owner) <= set("0123456789abcdef"):
        raise Invalid("owner", "An owner is named by a fingerprint: 64 lower-case hexadecimal digits.")
    return KeyRelease.objects.filter(owner_fingerprint=owner, log_index__isnull=False)


def _index(row: KeyRelease) -> int:
    if row.log_index is None:
        raise TypeError("an entry of the log has an index")
    return row.log_index
