"""Rollover, on the way back: taking over what the owner re-granted, one object at a time, each with its own result."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import IO
from uuid import UUID

from django.db import transaction

from fabric import library
from fabric.models import BlobKind, GuardianInForce
from hgs.keyprotection.protector import serialise_protector
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, DomainError, Invalid, NotFound
from portal.kernel.policy import require
from tenants.commands.dependents import report_soon
from tenants.commands.key_protector import begin_replacement, read_protector, require_idle, require_same_owner
from tenants.commands.virtual_machines import scope_of
from tenants.models import ShieldingData, Subscription, VirtualMachine, VmKeyProtector
from tenants.pdk_file import NamedGuardian, PdkFacts, guardians_of, joined_pairs, read_pdk
from tenants.policy import decide_key_protector, decide_replace_shielding_data
from tenants.rollover.bundle import BundleItem, BundleKind, ObjectKind, read_bundle
from tenants.rollover.errors import BundleError
from tenants.selectors.rollover import require_guardian
from tenants.selectors.virtual_machines import virtual_machines

_ALREADY = "It names the present guardian already."
AGAIN = "Get a new work file, re-grant it and upload that result."


class Outcome(StrEnum):
    """What became of one object of a result."""

    DONE = "done"
    STARTED = "started"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One object of a result: what became of it, in a sentence; `job_id` for one that its host takes over."""

    kind: ObjectKind
    id: str
    name: str
    outcome: Outcome
    code: str = ""
    message: str = ""
    advice: str = ""
    job_id: UUID | None = None


def apply_rollover(actor: Actor, *, file: IO[bytes]) -> list[ItemResult]:
    """Take over each object of a result that is the actor's, has its owner of before and names the present guardian.

    The others are reported, and nothing of them changes.

    Shielding data is replaced at once, a VM's key protector by a job on its host. Raises `Invalid` (`bundle-…`) for a
    file that is no result, `Unavailable` (`guardian-unknown`).
    """
    guardian = require_guardian()
    try:
        bundle = read_bundle(file, BundleKind.RESULT)
    except BundleError as error:
        said = f"{error.message} {error.advice}".strip()
        raise Invalid(error.code, error.message, error.advice, fields={"file": said}) from error
    return [_apply(actor, item, guardian) for item in bundle.items]


def _apply(actor: Actor, item: BundleItem, guardian: GuardianInForce) -> ItemResult:
    take: Callable[[Actor, BundleItem, GuardianInForce], ItemResult]
    take = _take_protector if item.kind is ObjectKind.VM else _take_file
    try:
        with transaction.atomic():
            return take(actor, item, guardian)
    except DomainError as error:
        return ItemResult(item.kind, item.id, item.name, Outcome.REFUSED, error.code, error.message, error.advice)


def _take_file(actor: Actor, item: BundleItem, guardian: GuardianInForce) -> ItemResult:
    data = ShieldingData.objects.visible_to(actor).filter(pk=item.id).first()
    if data is None:
        raise _unknown(item)
    # As for creating a VM from it: the subscription's row orders both, and what is compared below stays true.
    Subscription.objects.select_for_update().get(pk=data.subscription_id)
    data.refresh_from_db()
    require(decide_replace_shielding_data(actor, data))
    if data.blob_id == item.sha256 or (data.blob_id != item.replaces and _is_current(data, guardian)):
        return ItemResult(item.kind, item.id, data.name, Outcome.UNCHANGED, message=_ALREADY)
    if data.blob_id != item.replaces:
        raise Conflict("shielding-data-changed", "It was replaced since the work file was made.", AGAIN)
    facts = read_pdk(item.content)
    _check(data.owner_fingerprint, facts.owner_fingerprint, facts.guardians, guardian)
    _put_in_place(actor, data, item, facts)
    return ItemResult(item.kind, item.id, data.name, Outcome.DONE, message="It names the present guardian now.")


def _put_in_place(actor: Actor, data: ShieldingData, item: BundleItem, facts: PdkFacts) -> None:
    with library.receive([item.content], BlobKind.SHIELDING_DATA) as received:
        before, data.blob = data.blob_id, library.keep(received)
    data.policy, data.owner_name, data.qualifiers = facts.policy, facts.owner_name, facts.qualifiers
    data.guardians, data.guardian_pairs = facts.guardians, joined_pairs(facts.guardians)
    data.kind, data.substitution_strings = facts.kind.value, facts.substitution_strings
    data.escrows_recovery_key = facts.escrows_recovery_key
    data.save(
        update_fields=[
            "blob", "kind", "policy", "owner_name", "qualifiers", "guardians", "guardian_pairs",
            "substitution_strings", "escrows_recovery_key",
        ]
    )  # fmt: skip
    audit.record(
        actor, "shielding-data:replaced", target_type="shielding-data", target_id=data.pk,
        scope=scope_of(data.subscription_id), summary=f"Replaced shielding data {data.name} by its re-granted file",
        data={"sha256": data.blob_id, "before": before, "owner": data.owner_fingerprint},
    )  # fmt: skip
    transaction.on_commit(lambda: library.drop_if_unused(before))
    report_soon()


def _take_protector(actor: Actor, item: BundleItem, guardian: GuardianInForce) -> ItemResult:
    vm = virtual_machines(actor).filter(pk=item.id).first()
    if vm is None:
        raise _unknown(item)
    kept = VmKeyProtector.objects.select_for_update().filter(pk=vm.pk).first()
    fetched = kept is not None and kept.sha256 == item.replaces
    if not fetched and _is_current(vm, guardian):
        return ItemResult(item.kind, item.id, vm.name, Outcome.UNCHANGED, message=_ALREADY)
    require(decide_key_protector(actor, vm))
    if kept is not None:
        require_idle(kept)
    if kept is None or not fetched or not kept.document:
        raise Conflict("protector-outdated", "It was started since the work file was made, or fetched again.", AGAIN)
    verified = read_protector(item.content, AGAIN)
    guardians = guardians_of(verified)
    _check(vm.owner_fingerprint, verified.owner_fingerprint, guardians, guardian)
    job = begin_replacement(actor, vm, kept, serialise_protector(verified.protector), guardians)
    return ItemResult(
        item.kind, item.id, vm.name, Outcome.STARTED, message="Its host is taking it over.", job_id=job.pk
    )


def _is_current(row: ShieldingData | VirtualMachine, guardian: GuardianInForce) -> bool:
    return guardian.pair in row.guardian_pairs.split()


def _check(before: str, after: str, guardians: list[NamedGuardian], wanted: GuardianInForce) -> None:
    require_same_owner(before, after)
    if wanted.pair not in {named["pair"] for named in guardians}:
        raise Invalid(
            "wrong-guardian",
            "It does not name this fabric's present guardian.",
            "Import the fabric's guardian again, then re-grant with that one.",
        )


def _unknown(item: BundleItem) -> NotFound:
    what = "virtual machine" if item.kind is ObjectKind.VM else "shielding data"
    return NotFound("no-such-object", f"You have no such {what}.", "It may have been removed since.")
