"""A VM's life from the tenant's side: what may be asked of it when, and what hosts' answers make of it."""

from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.utils import timezone

from fabric.commands import jobs as fabric_jobs
from fabric.commands.placing import place_vm
from fabric.messages import HostError
from fabric.models import Placement, TemplateState
from portal.kernel import jobs
from portal.kernel.audit import verify_chain
from portal.kernel.errors import Conflict, Denied, DomainError, Invalid
from portal.kernel.models import Job, JobState
from portal.kernel.policy import Denial
from tenants.commands.power import remove_vm, start_vm, stop_vm
from tenants.commands.states import move
from tenants.commands.virtual_machines import Started, create_vm, retry_vm
from tenants.listener import VmListener
from tenants.models import VirtualMachine, VmState
from tenants.models.virtual_machine import TRANSITIONS
from tenants.policy import VmAction, decide_vm
from tests.cast import Cast, make_host, make_shielding_data, make_template

REASON = HostError("disk-changed", "The template differs from its catalog.", "Publish it again.")


def create(cast: Cast, name: str = "web01", **extra: Any) -> Started:
    cast.template, cast.host  # noqa: B018 - made when asked for
    return create_vm(
        cast.as_owner, subscription=cast.subscription, name=name, shielding_data=cast.shielding_data,
        network=cast.network, **extra,
    )  # fmt: skip


def run(cast: Cast, name: str = "web01") -> VirtualMachine:
    """A VM that was created, placed and reported running."""
    started = create(cast, name)
    place_vm(started.job.pk, started.vm.pk, 0, timezone.now())
    fabric_jobs.finish_job(started.job.pk, "succeeded")
    started.vm.refresh_from_db()
    return started.vm


def test_creating_reserves_an_address_and_a_port_and_asks_for_a_place(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    with patch("fabric.dispatch._send") as send, django_capture_on_commit_callbacks(execute=True):
        started = create(cast)
    assert started.vm.state == VmState.CREATING
    assert started.vm.template == cast.template
    assert started.vm.placement is not None
    assert started.vm.placement.address == "10.20.0.10"
    assert started.job.scope == f"subscription:{cast.subscription.pk}"
    task, kwargs, queue, _ = send.call_args.args
    assert (task, queue) == ("fabric.place_vm", "fabric")
    assert kwargs == {"job_id": str(started.job.pk), "vm_id": str(started.vm.pk)}
    assert [step.key for step in started.job.steps.all()] == [
        "place", "fetch", "release-keys", "open-shielding-data", "seal", "verify-template", "specialise", "encrypt",
        "boot", "heartbeat",
    ]  # fmt: skip
    assert verify_chain() is None


@pytest.mark.parametrize("name", ["", "Web01", "-web", "web-", "web_01", "a" * 16, "web 01", "1web", "wéb", "web01\n"])
def test_a_name_that_no_computer_can_have_is_refused(cast: Cast, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        create(cast, name)
    assert refused.value.code == "vm-name"
    assert "name" in refused.value.fields
    assert not VirtualMachine.objects.exists()


def test_a_name_is_taken_once_in_a_subscription(cast: Cast) -> None:
    create(cast)
    with pytest.raises(Conflict) as refused:
        create(cast)
    assert refused.value.code == "vm-name-taken"


def test_the_newest_template_that_the_shielding_data_trusts_is_taken(cast: Cast) -> None:
    make_template(version="1.9.0.0")
    newest = make_template(version="1.10.0.0")
    make_template(name="other-disk", version="9.0.0.0")
    make_template(version="2.0.0.0", signer="00" * 32)
    assert create(cast).vm.template == newest


def test_a_retired_template_is_passed_over(cast: Cast) -> None:
    newer = make_template(version="3.0.0.0")
    newer.state = TemplateState.RETIRED
    newer.save()
    assert create(cast).vm.template == cast.template


def test_shielding_data_that_trusts_nothing_here_is_refused_with_the_reason(cast: Cast) -> None:
    cast.shielding_data = make_shielding_data(cast.subscription, "strange", qualifiers=[])  # type: ignore[misc]
    with pytest.raises(Invalid) as refused:
        create(cast)
    assert refused.value.code == "no-template-fits"


def test_a_template_asked_for_that_does_not_fit_is_refused_with_the_reason(cast: Cast) -> None:
    older = make_template(version="0.9.0.0")
    with pytest.raises(Invalid) as refused:
        create(cast, template=older)
    assert refused.value.code == "template-does-not-fit"
    assert "0.9.0.0" in refused.value.message


def test_the_quota_says_need_left_and_limit_in_one_sentence(cast: Cast) -> None:
    for number in range(3):
        create(cast, f"vm{number}")
    with pytest.raises(Conflict) as refused:
        create(cast, "vm3")
    assert refused.value.code == "quota-exceeded"
    assert refused.value.message == "This needs 1 of virtual machines, 0 are left of 3 in plan standard."


def test_the_same_idempotency_key_gives_the_same_vm_and_job(cast: Cast) -> None:
    first = create(cast, idempotency_key="k1")
    again = create(cast, idempotency_key="k1")
    assert (again.vm, again.job) == (first.vm, first.job)
    assert VirtualMachine.objects.count() == 1
    with pytest.raises(Conflict) as refused:
        create(cast, "web02", idempotency_key="k1")
    assert refused.value.code == "idempotency-key-reused"


def test_only_the_owner_creates_in_a_subscription(cast: Cast) -> None:
    cast.template  # noqa: B018
    for actor in (cast.as_other, cast.as_admin):
        with pytest.raises(Denied):
            create_vm(
                actor, subscription=cast.subscription, name="web01", shielding_data=cast.shielding_data,
                network=cast.network,
            )  # fmt: skip


def test_a_suspended_subscription_makes_nothing_new(cast: Cast) -> None:
    cast.subscription.state = "suspended"
    cast.subscription.save()
    with pytest.raises(Conflict) as refused:
        create(cast)
    assert refused.value.code == "subscription-suspended"


def test_a_vm_runs_when_its_creation_succeeds(cast: Cast) -> None:
    vm = run(cast)
    assert vm.state == VmState.RUNNING
    assert vm.provisioned
    assert vm.placement is not None
    assert vm.placement.power_state == "running"


def test_a_failed_creation_gives_back_what_it_reserved_and_says_why(cast: Cast) -> None:
    started = create(cast)
    place_vm(started.job.pk, started.vm.pk, 0, timezone.now())
    fabric_jobs.finish_job(started.job.pk, "failed", REASON)
    vm = VirtualMachine.objects.get()
    assert vm.state == VmState.FAILED
    assert vm.problem["code"] == "disk-changed"
    assert vm.placement is None
    assert not Placement.objects.exists()


def test_a_failed_creation_can_be_retried_and_removed(cast: Cast) -> None:
    started = create(cast)
    fabric_jobs.finish_job(started.job.pk, "failed", REASON)
    vm = VirtualMachine.objects.select_related("template", "shielding_data__blob").get()
    again = retry_vm(cast.as_owner, vm=vm)
    assert again.vm.state == VmState.CREATING
    assert again.job != started.job
    assert again.vm.problem == {}
    fabric_jobs.finish_job(again.job.pk, "failed", REASON)
    gone = remove_vm(cast.as_owner, vm=VirtualMachine.objects.get())
    assert gone.job.state == JobState.SUCCEEDED
    assert not VirtualMachine.objects.exists()


def test_stop_start_and_remove_follow_the_host(cast: Cast) -> None:
    vm = run(cast)
    steps = (
        (stop_vm, VmState.STOPPING, VmState.STOPPED),
        (start_vm, VmState.STARTING, VmState.RUNNING),
    )
    for command, during, after in steps:
        started = command(cast.as_owner, vm=vm)
        assert started.vm.state == during
        fabric_jobs.finish_job(started.job.pk, "succeeded")
        vm.refresh_from_db()
        assert vm.state == after
    removed = remove_vm(cast.as_owner, vm=vm)
    assert removed.vm.state == VmState.REMOVING
    fabric_jobs.finish_job(removed.job.pk, "succeeded")
    assert not VirtualMachine.objects.exists()
    assert not Placement.objects.exists()


@pytest.mark.parametrize(("command", "back"), [(stop_vm, VmState.RUNNING), (remove_vm, VmState.FAILED)])
def test_a_command_that_fails_on_the_host_says_why(cast: Cast, command: Any, back: VmState) -> None:
    vm = run(cast)
    started = command(cast.as_owner, vm=vm)
    fabric_jobs.finish_job(started.job.pk, "failed", REASON)
    vm.refresh_from_db()
    assert vm.state == back
    assert vm.problem["message"] == REASON.message


def test_a_start_that_fails_leaves_the_vm_stopped(cast: Cast) -> None:
    vm = run(cast)
    fabric_jobs.finish_job(stop_vm(cast.as_owner, vm=vm).job.pk, "succeeded")
    vm.refresh_from_db()
    fabric_jobs.finish_job(start_vm(cast.as_owner, vm=vm).job.pk, "failed", REASON)
    vm.refresh_from_db()
    assert vm.state == VmState.STOPPED
    assert vm.problem["code"] == "disk-changed"


def test_a_lost_job_fails_its_vm_and_frees_its_address(cast: Cast) -> None:
    started = create(cast)
    Job.objects.filter(pk=started.job.pk).update(lease_until=timezone.now() - jobs.LEASE)
    assert fabric_jobs.reap_lost_jobs(timezone.now()) == 1
    vm = VirtualMachine.objects.get()
    assert vm.state == VmState.FAILED
    assert vm.problem["code"] == "job-lost"
    assert not Placement.objects.exists()


def test_the_end_of_an_old_job_does_not_touch_a_vm_that_went_on(cast: Cast) -> None:
    started = create(cast)
    fabric_jobs.finish_job(started.job.pk, "failed", REASON)
    again = retry_vm(cast.as_owner, vm=VirtualMachine.objects.get())
    assert not fabric_jobs.finish_job(started.job.pk, "succeeded")
    again.vm.refresh_from_db()
    assert again.vm.state == VmState.CREATING


def test_a_guest_that_shuts_down_is_seen_as_stopped(cast: Cast) -> None:
    vm = run(cast)
    VmListener().vm_reported(vm.pk, "stopped", "")
    vm.refresh_from_db()
    assert vm.state == VmState.STOPPED


def test_a_report_during_a_job_changes_nothing(cast: Cast) -> None:
    vm = run(cast)
    stop_vm(cast.as_owner, vm=vm)
    VmListener().vm_reported(vm.pk, "failed", "gone")
    vm.refresh_from_db()
    assert vm.state == VmState.STOPPING


def test_the_console_of_a_shielded_vm_is_off_and_says_where_to_go_instead(cast: Cast) -> None:
    vm = run(cast)
    decision = decide_vm(cast.as_owner, VmAction.CONSOLE, vm)
    assert isinstance(decision, Denial)
    assert decision.reason == (
        f"Console is off: this VM is Shielded. Use SSH at 127.0.0.1 port {vm.placement.access_port}."  # type: ignore[union-attr]
    )


@pytest.mark.parametrize("state", VmState)
@pytest.mark.parametrize("action", VmAction)
def test_policy_and_commands_agree_in_every_state(cast: Cast, state: VmState, action: VmAction) -> None:
    vm = run(cast)
    VirtualMachine.objects.filter(pk=vm.pk).update(state=state)
    vm.refresh_from_db()
    commands = {VmAction.START: start_vm, VmAction.STOP: stop_vm, VmAction.REMOVE: remove_vm, VmAction.RETRY: retry_vm}
    allowed = bool(decide_vm(cast.as_owner, action, vm))
    if action is VmAction.CONSOLE:
        assert not allowed
        return
    if allowed:
        commands[action](cast.as_owner, vm=vm)
        return
    with pytest.raises(DomainError):
        commands[action](cast.as_owner, vm=vm)
    vm.refresh_from_db()
    assert vm.state == state


def test_moves_outside_the_table_are_a_fault(cast: Cast) -> None:
    vm = create(cast).vm
    for old in VmState:
        for new in set(VmState) - TRANSITIONS[old]:
            with pytest.raises(ValueError, match="does not go from"):
                move(vm.pk, old, new)


def test_two_commands_at_once_give_one_winner(cast: Cast) -> None:
    vm = run(cast)
    seen_by_second = VirtualMachine.objects.select_related("placement__host", "subscription").get(pk=vm.pk)
    stop_vm(cast.as_owner, vm=vm)
    with pytest.raises(Conflict) as refused:
        stop_vm(cast.as_owner, vm=seen_by_second)
    assert refused.value.code == "vm-changed"


def test_a_vm_without_any_fit_host_waits_and_then_fails_with_each_reason(cast: Cast) -> None:
    started = create(cast)
    cast.host.delete()
    now = timezone.now()
    make_host("hv02", passed=False, last_report_at=now + timedelta(minutes=3))
    make_host("hv03", last_report_at=None)
    place_vm(started.job.pk, started.vm.pk, 0, now)
    started.job.refresh_from_db()
    assert started.job.is_open
    place_vm(started.job.pk, started.vm.pk, 1, now + timedelta(minutes=3))
    started.job.refresh_from_db()
    assert started.job.state == JobState.FAILED
    assert "hv02: HGS refused its attestation" in started.job.error_message
    assert "hv03: it has never reported" in started.job.error_message
