"""From an older guardian to the present one: what counts as outdated, what goes out, and what is taken back."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.utils import timezone

from fabric.commands.guardian import note_guardian
from fabric.commands.jobs import finish_job, reap_lost_jobs
from fabric.messages import HostError
from fabric.models import GuardianInForce, HostState, LibraryBlob
from fabric.shielding.pdk import open_pdk, parse_pdk
from hgs.keyprotection.protector import parse_protector, serialise_protector, unwrap, verify_protector
from portal.kernel import jobs
from portal.kernel.audit import verify_chain
from portal.kernel.errors import Conflict, Invalid, Unavailable
from portal.kernel.models import AuditEvent, Job
from tenants.commands.key_protector import forget_export
from tenants.commands.power import start_vm, stop_vm
from tenants.commands.rollover import prepare_rollover
from tenants.commands.rollover_result import ItemResult, Outcome, apply_rollover
from tenants.commands.virtual_machines import create_vm
from tenants.models import ShieldingData, VirtualMachine, VmKeyProtector, VmState
from tenants.rollover.bundle import BundleItem, BundleKind, ObjectKind, read_bundle
from tenants.selectors.rollover import ItemState, count_outdated, rollover_of, subscriptions_behind, with_outdated
from tests.cast import Cast
from tests.fabric.shielding.test_pdk import FILES
from tests.hgs.keyprotection.guardians import branch, keys_of, lab, owner, stranger
from tests.hgs.keyprotection.test_succession import renewed
from tests.tenants.rolling import PlayedHost, hgs_has, pdk_for, regranted, result_of, upload, work_file


@pytest.fixture(autouse=True)
def own_library(settings: Any, tmp_path: Path) -> None:
    settings.LIBRARY_DIR = tmp_path / "library"


@pytest.fixture
def after(cast: Cast, host: PlayedHost, django_capture_on_commit_callbacks: Any) -> Iterator[Any]:
    """Runs something and what it leaves for after the commit, with HGS's next keys in force; then the host works."""

    def run(command: Any, *arguments: Any, **named: Any) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            result = command(*arguments, **named)
        with django_capture_on_commit_callbacks(execute=True):
            host.work()
        return result

    return run


@pytest.fixture
def vm(cast: Cast, host: PlayedHost) -> VirtualMachine:
    """A VM made while HGS had its first keys; HGS has others now."""
    with hgs_has(lab()):
        made = host.make(cast, upload(cast))
    host.sent.clear()
    with hgs_has(branch()):
        return made


def state_of(cast: Cast, vm: VirtualMachine) -> ItemState | None:
    return next((item.state for item in rollover_of(cast.as_owner).items if item.id == vm.pk), None)


def apply(cast: Cast, result: bytes) -> dict[ObjectKind, ItemResult]:
    return {one.kind: one for one in apply_rollover(cast.as_owner, file=io.BytesIO(result))}


def test_before_hgs_changes_its_keys_nothing_is_outdated(cast: Cast, host: PlayedHost) -> None:
    with hgs_has(lab()):
        host.make(cast, upload(cast))
        assert count_outdated(cast.as_owner) == 0
        assert not list(subscriptions_behind())


def test_while_no_guardian_is_known_nothing_is_said(cast: Cast, host: PlayedHost) -> None:
    with hgs_has(lab()):
        upload(cast)
    GuardianInForce.objects.all().delete()
    assert count_outdated(cast.as_owner) == 0
    assert [row.outdated for row in with_outdated(ShieldingData.objects.all())] == [False]  # type: ignore[attr-defined]
    with pytest.raises(Unavailable):
        prepare_rollover(cast.as_owner)


def test_a_certificate_renewed_with_its_key_changes_nothing(cast: Cast, host: PlayedHost) -> None:
    with hgs_has(lab()) as first:
        host.make(cast, upload(cast))
    with hgs_has(renewed(lab())) as second:
        assert second.encryption_fingerprint != first.encryption_fingerprint
        assert second.since == first.since
        assert count_outdated(cast.as_owner) == 0


def test_a_change_of_keys_is_an_audit_event_and_the_affected_are_counted(cast: Cast, vm: VirtualMachine) -> None:
    assert AuditEvent.objects.filter(event="guardian:changed").count() == 1
    found = rollover_of(cast.as_owner)
    assert (found.vms, found.files) == (1, 1)
    behind = subscriptions_behind().get()
    assert (behind.name, behind.outdated_vms, behind.outdated_files) == ("contoso", 1, 1)  # type: ignore[attr-defined]


def test_while_hgs_is_away_what_was_known_stays(cast: Cast, vm: VirtualMachine) -> None:
    away = Unavailable("hgs-unavailable", "HGS does not answer.")
    with patch("fabric.selectors.guardian.guardian_metadata", side_effect=away), pytest.raises(Unavailable):
        note_guardian(timezone.now())
    assert count_outdated(cast.as_owner) == 2


def test_everything_is_re_granted_with_one_file_and_the_count_goes_to_zero(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, after: Any
) -> None:
    assert state_of(cast, vm) is ItemState.WAITING
    prepared = after(prepare_rollover, cast.as_owner)
    assert len(prepared.jobs) == 1
    assert state_of(cast, vm) is ItemState.READY
    results = after(apply, cast, regranted(work_file(cast.as_owner)))
    assert results[ObjectKind.VM].outcome is Outcome.STARTED
    assert results[ObjectKind.SHIELDING_DATA].outcome is Outcome.DONE
    assert count_outdated(cast.as_owner) == 0
    in_force = verify_protector(parse_protector(host.protectors[str(vm.pk)]))
    assert unwrap(in_force, branch()) == unwrap(in_force, lab())
    data = ShieldingData.objects.get()
    pdk = parse_pdk(data.blob.path.read_bytes())
    assert open_pdk(pdk, unwrap(pdk.protector, branch())).other_files == FILES
    assert VmKeyProtector.objects.get().document == b""
    assert verify_chain() is None
    events = set(AuditEvent.objects.values_list("event", flat=True))
    assert {"shielding-data:replaced", "vm:protector-uploaded", "vm:protector-replaced"} <= events


def test_an_old_guardian_that_was_put_out_is_gone_everywhere(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, after: Any
) -> None:
    after(prepare_rollover, cast.as_owner)
    result = regranted(work_file(cast.as_owner), owner(), branch(), lab().guardian.fingerprint)
    after(apply, cast, result)
    for row in (VirtualMachine.objects.get(), ShieldingData.objects.get()):
        assert [named["fingerprint"] for named in row.guardians] == [branch().guardian.fingerprint]


def test_the_replaced_file_leaves_the_library_when_no_vm_needs_it(cast: Cast, host: PlayedHost, after: Any) -> None:
    with hgs_has(lab()):
        data, used = upload(cast, "unused"), upload(cast, "used")
        host.make(cast, used)
    with hgs_has(branch()):
        after(apply, cast, regranted(work_file(cast.as_owner)))
    assert not LibraryBlob.objects.filter(pk=data.blob_id).exists()
    assert not data.blob.path.exists()
    assert used.blob.path.exists()  # its VM's host may still ask for it


def test_a_vm_keeps_the_guardians_of_the_file_it_was_made_from(cast: Cast, host: PlayedHost, after: Any) -> None:
    with hgs_has(lab()):
        data = upload(cast)
        vm = host.make(cast, data)
    with hgs_has(branch()):
        after(apply, cast, regranted(work_file(cast.as_owner)))
        found = rollover_of(cast.as_owner)
        assert [(item.kind, item.id) for item in found.items] == [(ObjectKind.VM, vm.pk)]
        data.refresh_from_db()
        again = create_vm(
            cast.as_owner, subscription=cast.subscription, name="web02", shielding_data=data, network=cast.network
        ).vm
    assert again.guardian_pairs == data.guardian_pairs != vm.guardian_pairs


def test_a_vm_whose_creation_failed_has_no_protector_to_re_grant(cast: Cast, host: PlayedHost) -> None:
    with hgs_has(lab()):
        cast.template, cast.host  # noqa: B018
        started = create_vm(
            cast.as_owner, subscription=cast.subscription, name="web01", shielding_data=upload(cast),
            network=cast.network,
        )  # fmt: skip
        finish_job(started.job.pk, "failed", HostError("x", "It failed.", ""))
    with hgs_has(branch()):
        assert rollover_of(cast.as_owner).vms == 0


def test_a_vm_that_was_started_in_between_is_told_to_fetch_again(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, after: Any
) -> None:
    after(prepare_rollover, cast.as_owner)
    result = regranted(work_file(cast.as_owner))
    host.start(vm)
    assert after(apply, cast, result)[ObjectKind.VM].outcome is Outcome.STARTED
    (item,) = rollover_of(cast.as_owner).items
    assert item.state is ItemState.FAILED
    assert "started after its key protector was fetched" in item.reason
    assert "Fetch its key protector again" in item.advice
    after(prepare_rollover, cast.as_owner)
    after(apply, cast, regranted(work_file(cast.as_owner)))
    assert count_outdated(cast.as_owner) == 0


def test_a_start_that_the_portal_saw_makes_what_was_fetched_useless_at_once(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, after: Any
) -> None:
    after(prepare_rollover, cast.as_owner)
    result = regranted(work_file(cast.as_owner))
    finish_job(stop_vm(cast.as_owner, vm=vm).job.pk, "succeeded")
    vm.refresh_from_db()
    finish_job(start_vm(cast.as_owner, vm=vm).job.pk, "succeeded")
    assert state_of(cast, vm) is ItemState.WAITING
    refused = after(apply, cast, result)[ObjectKind.VM]
    assert (refused.outcome, refused.code) == (Outcome.REFUSED, "protector-outdated")


def test_uploading_the_same_result_twice_changes_nothing(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, after: Any
) -> None:
    after(prepare_rollover, cast.as_owner)
    result = regranted(work_file(cast.as_owner))
    after(apply, cast, result)
    again = after(apply, cast, result)
    assert {one.outcome for one in again.values()} == {Outcome.UNCHANGED}
    host.start(vm, branch())
    forget_export(vm.pk)
    assert {one.outcome for one in after(apply, cast, result).values()} == {Outcome.UNCHANGED}


def test_a_host_that_lost_the_job_leaves_it_to_be_done_again_with_the_same_result(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, after: Any, django_capture_on_commit_callbacks: Any
) -> None:
    after(prepare_rollover, cast.as_owner)
    result = regranted(work_file(cast.as_owner))
    apply(cast, result)
    Job.objects.filter(kind="replace-protector").update(lease_until=timezone.now() - jobs.LEASE)
    assert reap_lost_jobs(timezone.now()) == 1
    assert state_of(cast, vm) is ItemState.FAILED
    assert after(apply, cast, result)[ObjectKind.VM].outcome is Outcome.STARTED
    assert count_outdated(cast.as_owner) == 0


def test_what_is_under_way_is_not_begun_twice(cast: Cast, vm: VirtualMachine, host: PlayedHost, after: Any) -> None:
    first = prepare_rollover(cast.as_owner)
    assert state_of(cast, vm) is ItemState.FETCHING
    assert not prepare_rollover(cast.as_owner).jobs
    finish_job(first.jobs[0].pk, "failed", HostError("x", "It failed.", "Try again."))
    assert state_of(cast, vm) is ItemState.FAILED
    after(prepare_rollover, cast.as_owner)
    result = regranted(work_file(cast.as_owner))
    apply(cast, result)
    assert state_of(cast, vm) is ItemState.REPLACING
    assert apply(cast, result)[ObjectKind.VM].code == "protector-busy"


def test_a_vm_whose_host_is_away_is_named_with_the_reason_and_left_out(cast: Cast, vm: VirtualMachine) -> None:
    cast.host.state = HostState.UNKNOWN
    cast.host.save()
    prepared = prepare_rollover(cast.as_owner)
    assert not prepared.jobs
    ((name, denial),) = prepared.left_out
    assert (name, denial.code) == ("web01", "host-away")
    assert state_of(cast, vm) is ItemState.BLOCKED
    held = read_bundle(io.BytesIO(work_file(cast.as_owner)), BundleKind.WORK).items
    assert [item.kind for item in held] == [ObjectKind.SHIELDING_DATA]


def test_a_vm_that_is_changing_is_left_alone(cast: Cast, vm: VirtualMachine) -> None:
    VirtualMachine.objects.filter(pk=vm.pk).update(state=VmState.STARTING)
    assert [denial.code for _, denial in prepare_rollover(cast.as_owner).left_out] == ["vm-state"]


@pytest.mark.parametrize("sent", ["other-owner", "no-protector", "not-base64", "nothing", "number"])
def test_what_a_host_sends_instead_of_the_vms_protector_is_refused(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, sent: str
) -> None:
    import base64

    job = prepare_rollover(cast.as_owner).jobs[0]
    theirs = serialise_protector(parse_pdk(pdk_for(lab(), stranger())).key_protector)
    results: dict[str, dict[str, Any]] = {
        "other-owner": {"protector": base64.b64encode(theirs).decode()},
        "no-protector": {"protector": base64.b64encode(b"<Protector/>").decode()},
        "not-base64": {"protector": "é"},
        "nothing": {},
        "number": {"protector": 7},
    }
    finish_job(job.pk, "succeeded", result=results[sent])
    assert state_of(cast, vm) is ItemState.FAILED
    assert VmKeyProtector.objects.get().problem["code"] == "protector-refused"
    assert VmKeyProtector.objects.get().document == b""


def test_a_host_that_put_something_else_in_force_is_noticed(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, after: Any
) -> None:
    after(prepare_rollover, cast.as_owner)
    started = apply(cast, regranted(work_file(cast.as_owner)))[ObjectKind.VM]
    assert started.job_id is not None
    finish_job(started.job_id, "succeeded", result={"sha256": "00" * 32})
    assert state_of(cast, vm) is ItemState.FAILED
    assert VmKeyProtector.objects.get().problem["code"] == "protector-differs"


def test_an_older_jobs_end_changes_nothing(cast: Cast, vm: VirtualMachine, host: PlayedHost) -> None:
    first = prepare_rollover(cast.as_owner).jobs[0]
    finish_job(first.pk, "failed", HostError("x", "It failed.", ""))
    second = prepare_rollover(cast.as_owner).jobs[0]
    assert not finish_job(first.pk, "succeeded", result={})
    VmKeyProtector.objects.update(job_id=second.pk)
    assert state_of(cast, vm) is ItemState.FETCHING


# --- what a result may not do


def work(cast: Cast, after: Any) -> Any:
    after(prepare_rollover, cast.as_owner)
    return read_bundle(io.BytesIO(work_file(cast.as_owner)), BundleKind.WORK)


def test_a_result_for_another_guardian_is_refused(cast: Cast, vm: VirtualMachine, after: Any) -> None:
    after(prepare_rollover, cast.as_owner)
    results = after(apply, cast, regranted(work_file(cast.as_owner), owner(), keys_of("elsewhere")))
    assert {one.code for one in results.values()} == {"wrong-guardian"}
    assert count_outdated(cast.as_owner) == 2


def test_what_belongs_to_another_owner_is_refused(cast: Cast, vm: VirtualMachine, after: Any) -> None:
    bundle = work(cast, after)
    foreign = pdk_for(branch(), stranger())
    contents = {
        ObjectKind.VM: serialise_protector(parse_pdk(foreign).key_protector), ObjectKind.SHIELDING_DATA: foreign,
    }  # fmt: skip
    items = [BundleItem(one.kind, one.id, one.name, contents[one.kind], one.sha256) for one in bundle.items]
    before = ShieldingData.objects.get().blob_id
    results = after(apply, cast, result_of(bundle, *items))
    assert {one.code for one in results.values()} == {"other-owner"}
    assert ShieldingData.objects.get().blob_id == before
    assert not Job.objects.filter(kind="replace-protector").exists()


def test_what_is_damaged_is_refused_one_by_one(cast: Cast, vm: VirtualMachine, after: Any) -> None:
    bundle = work(cast, after)
    items = [BundleItem(one.kind, one.id, one.name, b"<Nothing/>", one.sha256) for one in bundle.items]
    results = after(apply, cast, result_of(bundle, *items))
    assert results[ObjectKind.VM].code == "protector-invalid"
    assert results[ObjectKind.SHIELDING_DATA].code == "shielding-data-invalid"


def test_a_result_made_from_another_file_is_refused(cast: Cast, vm: VirtualMachine, after: Any) -> None:
    bundle = work(cast, after)
    done = read_bundle(io.BytesIO(regranted(work_file(cast.as_owner))), BundleKind.RESULT)
    items = [replace(one, replaces="ab" * 32) for one in done.items]
    results = after(apply, cast, result_of(bundle, *items))
    assert results[ObjectKind.VM].code == "protector-outdated"
    assert results[ObjectKind.SHIELDING_DATA].code == "shielding-data-changed"


def test_one_bad_object_does_not_keep_the_others_back(cast: Cast, vm: VirtualMachine, after: Any) -> None:
    bundle = work(cast, after)
    done = read_bundle(io.BytesIO(regranted(work_file(cast.as_owner))), BundleKind.RESULT)
    strange = BundleItem(ObjectKind.VM, "00112233-4455-6677-8899-aabbccddeeff", "gone", b"x", "ab" * 32)
    found = after(apply_rollover, cast.as_owner, file=io.BytesIO(result_of(bundle, strange, *done.items)))
    assert [one.code for one in found] == ["no-such-object", "", ""]
    assert count_outdated(cast.as_owner) == 0


def test_what_is_another_tenants_does_not_exist(cast: Cast, vm: VirtualMachine, after: Any) -> None:
    bundle = work(cast, after)
    result = regranted(work_file(cast.as_owner))
    found = apply_rollover(cast.as_other, file=io.BytesIO(result))
    assert {one.code for one in found} == {"no-such-object"}
    assert count_outdated(cast.as_owner) == 2
    assert rollover_of(cast.as_other).items == []
    assert not prepare_rollover(cast.as_other).jobs
    with pytest.raises(Conflict) as refused:
        work_file(cast.as_other)
    assert refused.value.code == "nothing-to-regrant"
    assert bundle.items


def test_a_fabric_administrator_has_no_part_in_it(cast: Cast, vm: VirtualMachine, after: Any) -> None:
    result = regranted(work_file(cast.as_owner))
    assert {one.code for one in apply_rollover(cast.as_admin, file=io.BytesIO(result))} == {"no-such-object"}
    assert rollover_of(cast.as_admin).items == []


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip"])
def test_a_file_that_is_no_result_is_refused_as_a_whole(cast: Cast, vm: VirtualMachine, data: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        apply_rollover(cast.as_owner, file=io.BytesIO(data))
    assert refused.value.code == "bundle-damaged"
    with pytest.raises(Invalid) as refused:
        apply_rollover(cast.as_owner, file=io.BytesIO(work_file(cast.as_owner)))
    assert refused.value.code == "bundle-kind"


def test_a_suspended_subscription_can_still_be_re_granted(cast: Cast, vm: VirtualMachine, after: Any) -> None:
    cast.subscription.state = "suspended"
    cast.subscription.save()
    after(prepare_rollover, cast.as_owner)
    after(apply, cast, regranted(work_file(cast.as_owner)))
    assert count_outdated(cast.as_owner) == 0
