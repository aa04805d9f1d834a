"""Creating virtual machines."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from fabric.commands import placements
from fabric.dispatch import enqueue
from fabric.models import Network, TemplateDisk, TemplateState
from fabric.shielding.answerfile import missing_values
from portal.kernel import audit, jobs
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.ids import new_id
from portal.kernel.models import Job
from portal.kernel.policy import require
from tenants.matching import fit, newest_fitting
from tenants.models import IdempotencyKey, ShieldingData, ShieldingDataKind, Subscription, VirtualMachine
from tenants.policy import VmAction, decide_create, decide_vm
from tenants.quota import require_quota
from tenants.steps import CREATE_VM, STEPS, TITLES

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,13}[a-z0-9])?")
NAME_RULE = "Use 1 to 15 small letters, digits and hyphens; begin with a letter, do not end with a hyphen."
_KEY = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Started:
    """A VM and the job that works on it."""

    vm: VirtualMachine
    job: Job


def create_vm(
    actor: Actor,
    *,
    subscription: Subscription,
    name: str,
    shielding_data: ShieldingData,
    network: Network,
    template: TemplateDisk | None = None,
    idempotency_key: str = "",
) -> Started:
    """Make a VM's row, reserve what it needs and start the job that builds it.

    Without `template` the newest available one that the shielding data trusts is taken. The same `idempotency_key` by
    the same user gives the first answer again. Raises `Denied`, `Invalid` (`vm-name`, `for-existing-vms`,
    `no-template-fits`, `template-does-not-fit`, `values-missing`), `Conflict`
    (`vm-name-taken`, `quota-exceeded`, `network-full`, `idempotency-key-reused`).
    """
    require(decide_create(actor, subscription))
    fingerprint = _fingerprint(subscription, name, shielding_data, network, template)
    with transaction.atomic():
        # The subscription's row orders creations, so that quotas, names and keys are counted once.
        Subscription.objects.select_for_update().get(pk=subscription.pk)
        if idempotency_key and (earlier := _earlier(actor, idempotency_key, fingerprint)):
            return earlier
        _check_name(subscription, name)
        _check_kind(shielding_data)
        chosen = _template_for(shielding_data, template)
        plan = subscription.plan
        require_quota(subscription, vcpus=plan.vm_vcpus, memory_mib=plan.vm_memory_mib)
        vm = VirtualMachine(
            id=new_id(), subscription=subscription, name=name, shielding_data=shielding_data, template=chosen,
            network=network, vcpus=plan.vm_vcpus, memory_mib=plan.vm_memory_mib, protection=shielding_data.policy,
            created_by=actor.name,
        )  # fmt: skip
        vm.save(force_insert=True)
        job = begin_creation(actor, vm)
        if idempotency_key:
            IdempotencyKey.objects.create(
                user_id=actor.id, key=idempotency_key, request_sha256=fingerprint, vm_id=vm.pk, job_id=job.pk
            )
        _record(actor, vm, "vm:created", f"Requested virtual machine {name}")
    return Started(vm, job)


def retry_vm(actor: Actor, *, vm: VirtualMachine) -> Started:
    """Start the creation of a failed VM anew, with the same files. Raises `Denied`, `Conflict`."""
    from tenants.commands.states import require_move
    from tenants.models import VmState

    require(decide_vm(actor, VmAction.RETRY, vm))
    with transaction.atomic():
        if vm.template.state != TemplateState.AVAILABLE:
            raise Conflict(
                "template-retired",
                f"Template {vm.template} is retired.",
                "Remove this VM and create it again; the newest fitting template is then taken.",
            )
        require_move(vm, VmState.CREATING, problem={})
        placements.release(vm.pk)
        vm.refresh_from_db()
        job = begin_creation(actor, vm)
        _record(actor, vm, "vm:retried", f"Requested virtual machine {vm.name} again")
    return Started(vm, job)


def begin_creation(actor: Actor, vm: VirtualMachine) -> Job:
    """Reserve and start the job for a VM that is in state creating, in the caller's transaction.

    Raises `Invalid` (`values-missing`), `Conflict` (`network-full`, `ports-exhausted`).
    """
    # The host takes this file and no later one, so who can open the VM is decided now.
    vm.shielding_data.refresh_from_db(fields=["blob", "guardians", "guardian_pairs", "substitution_strings"])
    vm.guardians, vm.guardian_pairs = vm.shielding_data.guardians, vm.shielding_data.guardian_pairs
    vm.placement = placements.reserve(
        vm.pk,
        name=vm.name,
        owner=vm.subscription.name,
        template=vm.template,
        shielding_data=vm.shielding_data.blob,
        network=vm.network,
        vcpus=vm.vcpus,
        memory_mib=vm.memory_mib,
        specialization={"@ComputerName@": vm.name, "@TimeZone@": "Etc/UTC"},
    )
    _check_values(vm.shielding_data, vm.placement.specialization)
    job = new_job(actor, vm, CREATE_VM)
    vm.job_id = job.pk
    vm.save(update_fields=["placement", "job_id", "guardians", "guardian_pairs"])
    enqueue("fabric.place_vm", {"job_id": str(job.pk), "vm_id": str(vm.pk)})
    return job


def new_job(actor: Actor, vm: VirtualMachine, kind: str) -> Job:
    """A queued job about a VM, in the scope of its subscription."""
    return jobs.create_job(
        actor, kind=kind, title=TITLES[kind].format(name=vm.name), scope=scope_of(vm.subscription_id),
        target_type="virtual-machine", target_id=vm.pk, target_name=vm.name, steps=STEPS[kind],
    )  # fmt: skip


def scope_of(subscription_id: UUID) -> str:
    """The scope of jobs and audit events that belong to a subscription."""
    return f"subscription:{subscription_id}"


def _check_name(subscription: Subscription, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid("vm-name", f"“{name[:40]}” cannot be a computer name.", NAME_RULE, fields={"name": NAME_RULE})
    if subscription.virtual_machines.filter(name=name).exists():
        raise Conflict("vm-name-taken", f"There is a virtual machine named {name} already.", "Choose another name.")


def _check_kind(data: ShieldingData) -> None:
    if data.kind == ShieldingDataKind.FOR_EXISTING_VMS:
        raise Invalid(
            "for-existing-vms",
            f"{data.name} is for virtual machines that exist already; none can be created from it.",
            "Choose shielding data for shielded templates, or make one with gf pdk new.",
            fields={"shielding_data": "It is for virtual machines that exist already."},
        )


def _check_values(data: ShieldingData, given: Mapping[str, str]) -> None:
    """Refuse by name what the host would find missing much later. A file of Version 1 does not say what it needs."""
    missing = missing_values(data.substitution_strings or (), given)
    if missing:
        names = ", ".join(missing)
        raise Invalid(
            "values-missing",
            f"The answer file in {data.name} asks for {names}, for which this fabric has no value.",
            "Make shielding data whose answer file has fixed values there (gf answer-file check).",
            fields={"shielding_data": f"This fabric has no value for {names}."},
        )


def _template_for(data: ShieldingData, asked: TemplateDisk | None) -> TemplateDisk:
    if asked is None:
        chosen = newest_fitting(data)
        if chosen is None:
            raise Invalid(
                "no-template-fits",
                f"No template disk of this fabric is one that {data.name} trusts.",
                "Its page says for each template why. Make shielding data that trusts a catalog offered here.",
                fields={"shielding_data": "It trusts none of the template disks offered here."},
            )
        return chosen
    if not asked.is_on_offer:
        raise Invalid("template-retired", f"Template {asked} is not on offer.", "Choose another template.")
    answer = fit(data, asked)
    if not answer.fits:
        raise Invalid(
            "template-does-not-fit",
            f"{data.name} does not trust {asked}. {answer.reason}",
            "Choose another template, or leave it to the shielding data.",
            fields={"template": answer.reason},
        )
    return asked


def _fingerprint(
    subscription: Subscription, name: str, data: ShieldingData, network: Network, template: TemplateDisk | None
) -> str:
    asked = [str(subscription.pk), name, str(data.pk), str(network.pk), str(template.pk) if template else None]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _earlier(actor: Actor, key: str, fingerprint: str) -> Started | None:
    if not _KEY.fullmatch(key):
        raise Invalid("idempotency-key", "An idempotency key is 1 to 128 visible ASCII characters.")
    row = IdempotencyKey.objects.filter(user_id=actor.id, key=key).first()
    if row is None:
        return None
    if row.request_sha256 != fingerprint:
        raise Conflict(
            "idempotency-key-reused",
            "This idempotency key was used for another request.",
            "Use a new key for each VM; repeat a key only with exactly the same request.",
        )
    vm = VirtualMachine.objects.filter(pk=row.vm_id).first()
    if vm is None:
        raise Conflict("idempotency-key-reused", "The VM that this key made has been removed.", "Use a new key.")
    return Started(vm, Job.objects.get(pk=row.job_id))


def _record(actor: Actor, vm: VirtualMachine, event: str, summary: str) -> None:
    audit.record(
        actor, event, target_type="virtual-machine", target_id=vm.pk, summary=summary,
        scope=scope_of(vm.subscription_id),
        data={"template": str(vm.template_id), "shielding_data": str(vm.shielding_data_id)},
    )  # fmt: skip
