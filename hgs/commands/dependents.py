"""What the fabric keeps, and which encryption certificates of HGS its key protectors name.

The portal holds those protectors, HGS does not. What it says decides nothing by itself: it is shown to whoever is about
to remove a key, beside what HGS's own log says.
"""

import re
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from hgs.models import DependentsReport
from hgs.policy import Action, may
from hgs.selectors.dependents import SHIELDING_DATA, VM
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid
from portal.kernel.policy import require

MOST: Final = 10_000
NAME_MAX: Final = 255
GUARDIANS_MAX: Final = 64
_FIELDS: Final = frozenset({"kind", "id", "name", "owner_fingerprint", "guardians"})
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


def record_dependents(actor: Actor, dependents: object, now: datetime) -> DependentsReport:
    """Keep what the fabric says, in place of what it said before. Raises Invalid for anything of another form.

    ``dependents``: at most 10,000 of {kind, id, name, owner_fingerprint, guardians}; each kind and id once. ``kind`` is
    ``vm`` (``id`` a UUID) or ``shielding-data``, fingerprints are 64 lower-case hexadecimal digits, ``guardians`` those
    of encryption certificates.
    """
    require(may(actor, Action.SUBMIT))
    if not isinstance(dependents, list) or len(dependents) > MOST:
        raise _refused(f"It is no list of at most {MOST} entries.")
    found = [_checked(entry, number) for number, entry in enumerate(dependents)]
    if len({(entry["kind"], entry["id"]) for entry in found}) != len(found):
        raise _refused("Something is in it twice.")
    with transaction.atomic():
        report, _ = DependentsReport.objects.update_or_create(
            pk=DependentsReport.SINGLETON, defaults={"at": now, "dependents": found}
        )
    return report


def _checked(entry: object, number: int) -> dict[str, Any]:
    if not isinstance(entry, dict) or set(entry) != _FIELDS:
        raise _refused(f"Entry {number} does not have exactly the fields {', '.join(sorted(_FIELDS))}.")
    for name, is_right in _CHECKS.items():
        if not is_right(entry[name]):
            raise _refused(f"Entry {number}: {name} is not as it must be.")
    if entry["kind"] == VM and not _is_uuid(entry["id"]):
        raise _refused(f"Entry {number}: the id of a virtual machine is a UUID.")
    return {name: entry[name] for name in sorted(_FIELDS)}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= NAME_MAX and value.isprintable()


def _is_fingerprint(value: object) -> bool:
    return isinstance(value, str) and _FINGERPRINT.fullmatch(value) is not None


def _are_guardians(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= GUARDIANS_MAX
        and all(_is_fingerprint(one) for one in value)
        and len(set(value)) == len(value)
    )


def _is_uuid(value: str) -> bool:
    try:
        return str(UUID(value)) == value
    except ValueError:
        return False


_CHECKS: Final = {
    "kind": lambda value: value in (VM, SHIELDING_DATA),
    "id": lambda value: isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None,
    "name": _is_name,
    "owner_fingerprint": _is_fingerprint,
    "guardians": _are_guardians,
}


def _refused(reason: str) -> Invalid:
    return Invalid("dependents-unreadable", f"The list of what names HGS's keys cannot be taken. {reason}")
