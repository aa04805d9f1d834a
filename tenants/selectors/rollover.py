"""What still names an older guardian of this fabric, and how far its way to the present one is."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, Any, TypeVar
from uuid import UUID

from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet

from fabric.models import GuardianInForce
from fabric.selectors.guardian import guardian_in_force
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Unavailable
from portal.kernel.policy import Denial
from tenants.models import ProtectorState, ShieldingData, Subscription, VirtualMachine
from tenants.models.plan import SubscriptionQuerySet
from tenants.policy import decide_key_protector
from tenants.rollover.bundle import Bundle, BundleItem, BundleKind, ObjectKind, WantedGuardian, write_bundle
from tenants.rollover.errors import BundleError
from tenants.selectors.key_protector import protector_of
from tenants.selectors.virtual_machines import virtual_machines

Rows = TypeVar("Rows", bound=QuerySet[Any])


class ItemState(StrEnum):
    """How far an object's way to the present guardian is."""

    WAITING = "waiting"
    FETCHING = "fetching"
    READY = "ready"
    REPLACING = "replacing"
    FAILED = "failed"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class OutdatedItem:
    """One object that names an older guardian. `reason` says why it is failed or blocked, `advice` what to do."""

    kind: ObjectKind
    id: UUID
    name: str
    state: ItemState
    reason: str = ""
    advice: str = ""
    job_id: UUID | None = None

    @property
    def under_way(self) -> bool:
        """Whether a host is at work on it."""
        return self.state in (ItemState.FETCHING, ItemState.REPLACING)


@dataclass(frozen=True, slots=True)
class Rollover:
    """All of an actor's objects that name an older guardian, beside the guardian they should name."""

    guardian: GuardianInForce | None
    items: list[OutdatedItem] = field(default_factory=list)

    def count(self, kind: ObjectKind, state: ItemState | None = None) -> int:
        """How many objects of a kind there are (in one state)."""
        return sum(item.kind is kind and state in (None, item.state) for item in self.items)

    @property
    def vms(self) -> int:
        """VMs that name an older guardian."""
        return self.count(ObjectKind.VM)

    @property
    def files(self) -> int:
        """Shielding data files that name an older guardian."""
        return self.count(ObjectKind.SHIELDING_DATA)

    @property
    def to_fetch(self) -> int:
        """VMs whose key protector can be fetched and is not here."""
        return self.count(ObjectKind.VM, ItemState.WAITING) + self.count(ObjectKind.VM, ItemState.FAILED)

    @property
    def ready(self) -> int:
        """Objects that the work file holds now."""
        return sum(item.state is ItemState.READY for item in self.items)

    @property
    def under_way(self) -> int:
        """Objects that a host is at work on."""
        return sum(item.under_way for item in self.items)


def is_outdated() -> Q:
    """The condition on a row that was made for a guardian; false for every row while no guardian is known."""
    guardian = guardian_in_force()
    return ~Q(guardian_pairs__contains=guardian.pair) if guardian else Q(pk__in=[])


def with_outdated(rows: Rows) -> Rows:
    """The rows with `outdated`: whether each names an older guardian."""
    annotated: Any = rows.annotate(outdated=ExpressionWrapper(is_outdated(), output_field=BooleanField()))
    return annotated  # type: ignore[no-any-return]


def outdated_files(actor: Actor) -> QuerySet[ShieldingData]:
    """Shielding data the actor may see that names an older guardian."""
    return ShieldingData.objects.visible_to(actor).filter(is_outdated()).select_related("blob", "subscription")


def outdated_vms(actor: Actor) -> QuerySet[VirtualMachine]:
    """VMs the actor may see whose key protector names an older guardian; one without a disk has none."""
    found = virtual_machines(actor).select_related("key_protector")
    return found.filter(is_outdated(), provisioned=True)


def count_outdated(actor: Actor) -> int:
    """How many objects of the actor name an older guardian."""
    return outdated_files(actor).count() + outdated_vms(actor).count()


def rollover_of(actor: Actor) -> Rollover:
    """Everything of the actor that names an older guardian, VMs first, by name."""
    vms = [_vm_item(actor, vm) for vm in outdated_vms(actor).order_by("name")]
    files = [
        OutdatedItem(ObjectKind.SHIELDING_DATA, data.pk, data.name, ItemState.READY)
        for data in outdated_files(actor).order_by("name")
    ]
    return Rollover(guardian_in_force(), vms + files)


def _vm_item(actor: Actor, vm: VirtualMachine) -> OutdatedItem:
    kept = protector_of(vm)
    state = kept.state if kept else ProtectorState.STALE
    if kept and kept.under_way:
        doing = ItemState.FETCHING if state == ProtectorState.EXPORTING else ItemState.REPLACING
        return OutdatedItem(ObjectKind.VM, vm.pk, vm.name, doing, job_id=kept.job_id)
    decision = decide_key_protector(actor, vm)
    if kept and state == ProtectorState.FAILED:
        said = str(kept.problem.get("message", "")), str(kept.problem.get("advice", ""))
        return OutdatedItem(ObjectKind.VM, vm.pk, vm.name, ItemState.FAILED, *said, job_id=kept.job_id)
    if kept and state == ProtectorState.EXPORTED:
        return OutdatedItem(ObjectKind.VM, vm.pk, vm.name, ItemState.READY)
    if isinstance(decision, Denial):
        return OutdatedItem(ObjectKind.VM, vm.pk, vm.name, ItemState.BLOCKED, decision.reason, decision.advice)
    return OutdatedItem(ObjectKind.VM, vm.pk, vm.name, ItemState.WAITING)


def write_work_file(actor: Actor, target: IO[bytes]) -> int:
    """Write the actor's work file: what there is to re-grant and here now; returns how many objects it holds.

    Raises `Unavailable` (`guardian-unknown`), `Conflict` (`nothing-to-regrant`, `bundle-…` where it grows too large).
    """
    guardian = require_guardian()
    items = [*_vm_files(actor), *_data_files(actor)]
    if not items:
        raise Conflict(
            "nothing-to-regrant",
            "There is nothing in the work file yet.",
            "Fetch the key protectors of your virtual machines first, unless nothing names an older guardian.",
        )
    wanted = WantedGuardian(guardian.guardian_fingerprint, guardian.encryption_fingerprint)
    try:
        write_bundle(target, Bundle(BundleKind.WORK, wanted, tuple(items)))
    except BundleError as error:
        raise Conflict(error.code, error.message, error.advice) from error
    return len(items)


def require_guardian() -> GuardianInForce:
    """The guardian that everything should name; raises `Unavailable` (`guardian-unknown`)."""
    guardian = guardian_in_force()
    if guardian is None:
        raise Unavailable(
            "guardian-unknown",
            "This portal has not heard of the Host Guardian Service's guardian yet.",
            "Try again in a minute; if it repeats, ask the fabric administrator.",
        )
    return guardian


def _vm_files(actor: Actor) -> Iterable[BundleItem]:
    for vm in outdated_vms(actor).order_by("name"):
        kept = protector_of(vm)
        if kept and kept.document and not kept.under_way:
            yield BundleItem(ObjectKind.VM, str(vm.pk), vm.name, bytes(kept.document))


def _data_files(actor: Actor) -> Iterable[BundleItem]:
    for data in outdated_files(actor).order_by("name"):
        try:
            content = data.blob.path.read_bytes()
        except OSError as error:
            raise Unavailable(
                "library-away",
                "The library does not answer now.",
                "Try again, then ask the fabric administrator.",
            ) from error
        yield BundleItem(ObjectKind.SHIELDING_DATA, str(data.pk), data.name, content)


def subscriptions_behind() -> SubscriptionQuerySet:
    """For the fabric's administrators: subscriptions with anything that names an older guardian, and how much."""
    guardian = guardian_in_force()
    if guardian is None:
        return Subscription.objects.none()
    vms = Q(virtual_machines__provisioned=True) & ~Q(virtual_machines__guardian_pairs__contains=guardian.pair)
    files = ~Q(shielding_data__guardian_pairs__contains=guardian.pair)
    found: Any = Subscription.objects.annotate(
        outdated_vms=Count("virtual_machines", filter=vms, distinct=True),
        outdated_files=Count("shielding_data", filter=files, distinct=True),
    )
    return found.filter(Q(outdated_vms__gt=0) | Q(outdated_files__gt=0)).order_by("name")  # type: ignore[no-any-return]
