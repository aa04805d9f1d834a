"""What would open no more if a key of the guardian went: virtual machines and shielding data files.

Two sources, since HGS sees key protectors only when they are used. Its own log says which of its encryption keys opened
the last protector of each machine; the fabric reports what it keeps and whom that names. For a machine in both, the
later word counts. What no host used and no fabric reports is not known here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Max, QuerySet

from hgs.models import DependentsReport, KeyPurpose, KeyRelease, ServiceKey
from hgs.policy import Action, may
from portal.kernel.actor import Actor
from portal.kernel.models import AuditEvent
from portal.kernel.policy import require

EVENTS: Final = "guardian-key"
MADE_PRIMARY: Final = "made-primary"
"""Events of the audit chain are called ``guardian-key:…``."""
LISTED: Final = 50
VM: Final = "vm"
SHIELDING_DATA: Final = "shielding-data"


@dataclass(frozen=True)
class Dependent:
    """Something whose key protector names the key. ``source``: ``fabric`` (its report) or ``log`` (a release)."""

    kind: str
    id: str
    name: str
    owner_fingerprint: str
    source: str
    at: datetime

    def to_json(self) -> dict[str, str]:
        """A JSON object."""
        return {
            "kind": self.kind,
            "id": self.id,
            "name": self.name,
            "owner_fingerprint": self.owner_fingerprint,
            "source": self.source,
            "at": self.at.isoformat(timespec="seconds"),
        }


@dataclass(frozen=True)
class Dependents:
    """All of them by number, the first ones by name. ``reported_at``: when the fabric last said what it keeps.

    ``unnamed``: releases by this key for which the host named no machine; nothing else is known of those.
    """

    vms: int
    shielding_data: int
    first: tuple[Dependent, ...]
    reported_at: datetime | None
    unnamed: int

    @property
    def count(self) -> int:
        """How many there are."""
        return self.vms + self.shielding_data

    def __str__(self) -> str:
        vms = f"{self.vms} virtual machine{'' if self.vms == 1 else 's'}"
        files = f"{self.shielding_data} shielding data file{'' if self.shielding_data == 1 else 's'}"
        return f"{vms} and {files}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object, for details of errors and for audit events."""
        return {
            "count": self.count,
            "vms": self.vms,
            "shielding_data": self.shielding_data,
            "first": [one.to_json() for one in self.first],
            "reported_at": self.reported_at.isoformat(timespec="seconds") if self.reported_at else None,
        }


def dependents(actor: Actor, keys: Iterable[ServiceKey]) -> Dependents:
    """What depends on any of these keys of the guardian."""
    require(may(actor, Action.READ))
    return dependents_of(keys)


def dependents_of(keys: Iterable[ServiceKey]) -> Dependents:
    """As :func:`dependents`, for commands that have asked about rights."""
    fingerprints = frozenset(
        fingerprint for key in keys for fingerprint in _encryption_fingerprints(key) if fingerprint
    )
    report = DependentsReport.objects.first()
    found = sorted(_all(fingerprints, report), key=lambda one: (one.kind != VM, one.name.lower(), one.id))
    vms = sum(1 for one in found if one.kind == VM)
    unnamed = KeyRelease.objects.filter(released=True, vm_id=None, guardian_fingerprint__in=fingerprints).count()
    return Dependents(vms, len(found) - vms, tuple(found[:LISTED]), report.at if report else None, unnamed)


def _encryption_fingerprints(key: ServiceKey) -> list[str]:
    """The encryption certificates whose protectors this key is needed for.

    A signing key signs what is returned for the protectors that name it. Which those are is not known; they name an
    encryption certificate of its time, so those of all encryption keys count that may have been in use with it.
    """
    if key.purpose != KeyPurpose.GUARDIAN_SIGNING:
        return [key.fingerprint]
    others = ServiceKey.objects.filter(purpose=KeyPurpose.GUARDIAN_ENCRYPTION)
    return [other.fingerprint for other in others if _may_have_met(key, other)]


def _may_have_met(signer: ServiceKey, opener: ServiceKey) -> bool:
    """Whether protectors may name both.

    They do where both were the primary ones at the same time. Of keys that never were it here, and came from another
    HGS, each may have been in use with each.
    """
    if _never_primary(signer) or _never_primary(opener):
        return _never_primary(signer) and _never_primary(opener)
    before_it_ended = signer.superseded_at is None or _first_primary(opener) < signer.superseded_at
    return before_it_ended and (opener.superseded_at is None or signer.created_at < opener.superseded_at)


def _first_primary(key: ServiceKey) -> datetime:
    """When a key first was the primary one: by the audit chain, or else since it was made."""
    made = AuditEvent.objects.filter(target_type="service-key", target_id=str(key.pk), event=f"{EVENTS}:{MADE_PRIMARY}")
    first = made.order_by("sequence").values_list("at", flat=True).first()
    return first or key.created_at


def _never_primary(key: ServiceKey) -> bool:
    return not key.is_primary and key.superseded_at is None


def _all(fingerprints: frozenset[str], report: DependentsReport | None) -> Iterator[Dependent]:
    logged = _last_releases(fingerprints) if fingerprints else {}
    for entry in report.dependents if report else ():
        kind, identifier, owner = entry["kind"], entry["id"], entry["owner_fingerprint"]
        used_at = logged.pop((identifier, owner), None) if kind == VM else None
        if not fingerprints.isdisjoint(entry["guardians"]):
            yield Dependent(kind, identifier, entry["name"], owner, "fabric", report.at)  # type: ignore[union-attr]
        elif used_at is not None and used_at > report.at:  # type: ignore[union-attr]
            yield Dependent(kind, identifier, entry["name"], owner, "log", used_at)
    for (identifier, owner), used_at in logged.items():
        yield Dependent(VM, identifier, "", owner, "log", used_at)


_Machine = tuple[str, str]
"""Its id together with its owner: the id is what a host says, and no release of another owner's shall hide it."""


def _last_releases(fingerprints: frozenset[str]) -> dict[_Machine, datetime]:
    """The last release of each machine whose last one was by one of these keys."""
    named = KeyRelease.objects.filter(released=True, vm_id__isnull=False)
    ours = _latest(named.filter(guardian_fingerprint__in=fingerprints))
    last = _latest(named) if ours else {}
    return {machine: at for machine, at in ours.items() if at >= last[machine]}


def _latest(rows: QuerySet[KeyRelease]) -> dict[_Machine, datetime]:
    grouped = rows.order_by().values_list("vm_id", "owner_fingerprint").annotate(last=Max("at"))
    return {(str(vm_id), owner): last for vm_id, owner, last in grouped}
