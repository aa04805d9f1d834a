"""Replacing the master key: everything that is sealed under an older one is sealed anew under the present one."""

from dataclasses import dataclass

from django.db import transaction

from hgs.models import ServiceKey
from hgs.policy import Action, may
from hgs.sealing import SealingError, key_id_of, master_key_id, seal, unseal
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Unavailable
from portal.kernel.policy import require


@dataclass(frozen=True)
class Rewrapped:
    """What a rewrap did. ``left``: keys that another node sealed under an older master key meanwhile."""

    sealed_anew: int
    already: int
    in_tokens: int
    left: int


def rewrap_keys(actor: Actor) -> Rewrapped:
    """Seal every key under the present master key, all of them or none.

    A node that makes a key at the same moment loses nothing: rows are locked, and a row is replaced only while it is
    what was opened. Raises Unavailable where a key does not open, Conflict where a row changed nevertheless.
    """
    require(may(actor, Action.MANAGE_KEYS))
    with transaction.atomic():
        rows = list(ServiceKey.objects.select_for_update().exclude(sealed_key=b"").order_by("pk"))
        older = [row for row in rows if key_id_of(bytes(row.sealed_key)) != master_key_id()]
        for row in older:
            _rewrap(row)
        in_tokens = ServiceKey.objects.filter(sealed_key=b"").count()
        if older:
            _audit(actor, older)
    return Rewrapped(len(older), len(rows) - len(older), in_tokens, _left())


def _rewrap(row: ServiceKey) -> None:
    before = bytes(row.sealed_key)
    try:
        secret = unseal(before, purpose=row.purpose, record_id=row.id)
        sealed = seal(secret, purpose=row.purpose, record_id=row.id)
        opens = unseal(sealed, purpose=row.purpose, record_id=row.id) == secret
    except SealingError as error:
        raise Unavailable(error.code, f"{row}: {error.message}") from error
    if not opens:
        raise Unavailable("sealed-anew-does-not-open", f"{row} would not open again; nothing was changed.")
    if not ServiceKey.objects.filter(pk=row.pk, sealed_key=before).update(sealed_key=sealed):
        raise Conflict("key-changed", f"{row} was changed at the same moment; nothing was changed here.", "Try again.")


def _audit(actor: Actor, rows: list[ServiceKey]) -> None:
    before = sorted({key_id_of(bytes(row.sealed_key)).hex() for row in rows})
    audit.record(
        actor,
        "master-key:replaced",
        target_type="hgs",
        target_id=master_key_id().hex(),
        summary=f"{len(rows)} keys of HGS are sealed under another master key.",
        data={
            "master_key": master_key_id().hex(),
            "before": before,
            "keys": len(rows),
            "fingerprints": sorted(row.fingerprint for row in rows if row.fingerprint),
        },
    )


def _left() -> int:
    sealed = ServiceKey.objects.exclude(sealed_key=b"").values_list("sealed_key", flat=True)
    return sum(1 for value in sealed if key_id_of(bytes(value)) != master_key_id())
