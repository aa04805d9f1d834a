"""Which master key each key of HGS is sealed under."""

from dataclasses import dataclass
from enum import StrEnum

from hgs.models import KeyPurpose, ServiceKey
from hgs.policy import Action, may
from hgs.sealing import SealingError, key_id, key_id_of, master_key, older_master_keys
from portal.kernel.actor import Actor
from portal.kernel.policy import require


class Known(StrEnum):
    """How this node knows a master key."""

    PRESENT = "present"
    OLDER = "older"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class SealedKey:
    """A key of HGS and the master key it is sealed under; ``master_key`` is empty for a key in a token."""

    purpose: str
    fingerprint: str
    is_enabled: bool
    master_key: str
    known: Known | None


def sealed_keys(actor: Actor) -> list[SealedKey]:
    """Every key of HGS with the id of its master key (hex). Raises SealingError for a damaged one."""
    require(may(actor, Action.READ))
    return [_view(row) for row in ServiceKey.objects.all()]


def needed_master_keys() -> dict[Known, int]:
    """How many keys are sealed under the present master key, under older ones, and under ones not known here."""
    counts = dict.fromkeys(Known, 0)
    for sealed in ServiceKey.objects.exclude(sealed_key=b"").values_list("sealed_key", flat=True):
        try:
            counts[_known(key_id_of(bytes(sealed)))] += 1
        except SealingError:
            counts[Known.UNKNOWN] += 1
    return counts


def _view(row: ServiceKey) -> SealedKey:
    sealed_under = key_id_of(bytes(row.sealed_key)) if row.sealed_key else b""
    return SealedKey(
        purpose=KeyPurpose(row.purpose).label,
        fingerprint=row.fingerprint,
        is_enabled=row.is_enabled,
        master_key=sealed_under.hex(),
        known=_known(sealed_under) if sealed_under else None,
    )


def _known(sealed_under: bytes) -> Known:
    if sealed_under == key_id(master_key()):
        return Known.PRESENT
    older = {key_id(key) for key in older_master_keys()}
    return Known.OLDER if sealed_under in older else Known.UNKNOWN
