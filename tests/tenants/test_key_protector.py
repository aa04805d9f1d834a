"""One VM's key protector in its owner's hands: fetched, changed offline, put in force; what is refused and why."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric.commands.jobs import finish_job
from fabric.messages import HostError
from fabric.models import GuardianInForce, HostState
from fabric.shielding.pdk import parse_pdk
from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.ownership import grant, revoke
from hgs.keyprotection.protector import (
    new_protector,
    parse_protector,
    roll,
    serialise_protector,
    unwrap,
    verify_protector,
)
from hgs.keyprotection.protector_form import PROTECTOR_MAX, with_length_prefix
from portal.kernel.actor import Actor
from portal.kernel.audit import verify_chain
from portal.kernel.errors import Conflict, Denied, DomainError, Invalid, NotFound
from portal.kernel.models import AuditEvent, Job
from tenants.commands.key_protector import Replacement, fetch_key_protector, forget_export, set_key_protector
from tenants.models import ProtectorState, VirtualMachine, VmKeyProtector, VmState
from tenants.selectors.key_protector import fetched_protector
from tenants.selectors.rollover import count_outdated
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import branch, counted_random, lab, owner, stranger
from tests.tenants.rolling import PlayedHost, hgs_has, pdk_for, upload


@pytest.fixture(autouse=True)
def own_library(settings: Any, tmp_path: Path) -> None:
    settings.LIBRARY_DIR = tmp_path / "library"


@pytest.fixture
def vm(cast: Cast, host: PlayedHost) -> Iterator[VirtualMachine]:
    with hgs_has(lab()):
        made = host.make(cast, upload(cast))
        host.sent.clear()
        yield made


@pytest.fixture
def after(host: PlayedHost, django_capture_on_commit_callbacks: Any) -> Any:
    """Runs something and what it leaves for after the commit; then the host works."""

    def run(command: Any, *arguments: Any, **named: Any) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            result = command(*arguments, **named)
        with django_capture_on_commit_callbacks(execute=True):
            host.work()
        return result

    return run


@pytest.fixture
def document(cast: Cast, vm: VirtualMachine, after: Any) -> bytes:
    """The key protector in force, fetched."""
    after(fetch_key_protector, cast.as_owner, vm=vm)
    return fetched(vm)


def again(vm: VirtualMachine) -> VirtualMachine:
    return VirtualMachine.objects.select_related("key_protector").get(pk=vm.pk)


def fetched(vm: VirtualMachine) -> bytes:
    return bytes(fetched_protector(again(vm)).document)


def granted(document: bytes, to: GuardianKeys | None = None, by: GuardianKeys | None = None) -> bytes:
    verified = verify_protector(parse_protector(document))
    return serialise_protector(grant(verified, by or owner(), (to or branch()).guardian))


def without(document: bytes, guardian: GuardianKeys) -> bytes:
    verified = verify_protector(parse_protector(document))
    return serialise_protector(revoke(verified, owner(), guardian.guardian.fingerprint))


def refusal(actor: Actor, vm: VirtualMachine, document: bytes) -> DomainError:
    with pytest.raises(DomainError) as caught:
        set_key_protector(actor, vm=again(vm), document=document)
    return caught.value


def test_what_is_fetched_is_what_the_host_has_in_force(vm: VirtualMachine, host: PlayedHost, document: bytes) -> None:
    assert document == host.protectors[str(vm.pk)]
    assert VmKeyProtector.objects.get().state == ProtectorState.EXPORTED


@pytest.mark.parametrize("prefixed", [False, True])
def test_a_guardian_is_let_in_and_another_put_out_while_the_vm_runs(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, document: bytes, after: Any, prefixed: bool
) -> None:
    changed = without(granted(document), lab())
    sent = with_length_prefix(changed) if prefixed else changed
    taken: Replacement = after(set_key_protector, cast.as_owner, vm=vm, document=sent)
    assert [one["fingerprint"] for one in taken.guardians] == [branch().guardian.fingerprint]
    assert taken.owner_fingerprint == owner().guardian.fingerprint
    assert taken.names_present_guardian is False
    assert host.protectors[str(vm.pk)] == changed
    in_force = verify_protector(parse_protector(changed))
    assert unwrap(in_force, branch()) == unwrap(verify_protector(parse_protector(document)), lab())
    assert [one["fingerprint"] for one in again(vm).guardians] == [branch().guardian.fingerprint]
    kept = VmKeyProtector.objects.get()
    assert (kept.state, kept.document) == (ProtectorState.REPLACED, b"")
    (event,) = AuditEvent.objects.filter(event="vm:protector-uploaded")
    assert event.data["sha256"] == taken.sha256 == kept.replacement_sha256
    assert event.data["guardians"] == [branch().guardian.fingerprint]
    assert verify_chain() is None


def test_what_names_older_guardians_follows_the_new_document(
    cast: Cast, vm: VirtualMachine, document: bytes, after: Any
) -> None:
    assert count_outdated(cast.as_owner) == 0
    after(set_key_protector, cast.as_owner, vm=vm, document=without(granted(document), lab()))
    assert count_outdated(cast.as_owner) == 1
    after(fetch_key_protector, cast.as_owner, vm=again(vm))
    taken: Replacement = after(set_key_protector, cast.as_owner, vm=again(vm), document=granted(fetched(vm), lab()))
    assert taken.names_present_guardian is True
    assert count_outdated(cast.as_owner) == 0


def test_while_no_guardian_is_known_nothing_is_said_about_it(
    cast: Cast, vm: VirtualMachine, document: bytes, after: Any
) -> None:
    GuardianInForce.objects.all().delete()
    assert after(set_key_protector, cast.as_owner, vm=vm, document=granted(document)).names_present_guardian is None


def test_fetching_again_brings_what_is_in_force_then(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, document: bytes, after: Any
) -> None:
    host.start(vm)
    after(fetch_key_protector, cast.as_owner, vm=again(vm))
    assert fetched(vm) == host.protectors[str(vm.pk)] != document


def test_a_fetch_under_way_is_not_begun_twice(cast: Cast, vm: VirtualMachine) -> None:
    first = fetch_key_protector(cast.as_owner, vm=vm)
    assert fetch_key_protector(cast.as_owner, vm=again(vm)).pk == first.pk
    assert Job.objects.filter(kind="export-protector").count() == 1
    with pytest.raises(Conflict) as caught:
        fetched(vm)
    assert caught.value.code == "protector-busy"


def test_nothing_is_begun_while_the_host_takes_one_over(cast: Cast, vm: VirtualMachine, document: bytes) -> None:
    set_key_protector(cast.as_owner, vm=vm, document=granted(document))
    assert refusal(cast.as_owner, vm, granted(document)).code == "protector-busy"
    with pytest.raises(Conflict) as caught:
        fetch_key_protector(cast.as_owner, vm=again(vm))
    assert caught.value.code == "protector-busy"


def test_before_it_was_fetched_there_is_nothing_and_nothing_can_be_put_in_its_place(
    cast: Cast, vm: VirtualMachine, host: PlayedHost
) -> None:
    with pytest.raises(NotFound) as caught:
        fetched(vm)
    assert caught.value.code == "protector-not-fetched"
    assert caught.value.advice
    assert refusal(cast.as_owner, vm, granted(host.protectors[str(vm.pk)])).code == "protector-outdated"
    assert not Job.objects.filter(kind="replace-protector").exists()


def test_after_a_start_that_the_portal_saw_the_old_one_is_gone_and_refused(
    cast: Cast, vm: VirtualMachine, document: bytes
) -> None:
    forget_export(vm.pk)
    with pytest.raises(NotFound):
        fetched(vm)
    refused = refusal(cast.as_owner, vm, granted(document))
    assert refused.code == "protector-outdated"
    assert "Fetch the key protector" in refused.advice


def test_after_a_start_that_the_portal_did_not_see_the_host_refuses_the_old_one(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, document: bytes, after: Any
) -> None:
    host.start(vm)
    before = again(vm).guardians
    after(set_key_protector, cast.as_owner, vm=vm, document=granted(document))
    kept = VmKeyProtector.objects.get()
    assert (kept.state, kept.problem["code"]) == (ProtectorState.FAILED, "protector-outdated")
    assert again(vm).guardians == before
    with pytest.raises(Conflict) as caught:
        fetched(vm)
    assert "started after its key protector was fetched" in caught.value.message


def test_one_made_of_an_earlier_key_protector_of_the_vm_is_refused(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, document: bytes, after: Any
) -> None:
    host.start(vm)
    after(fetch_key_protector, cast.as_owner, vm=again(vm))
    assert refusal(cast.as_owner, vm, granted(document)).code == "protector-outdated"


def test_one_of_another_vm_of_the_same_owner_is_refused(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, document: bytes
) -> None:
    other = host.make(cast, vm.shielding_data, "web02")
    assert refusal(cast.as_owner, vm, granted(host.protectors[str(other.pk)])).code == "protector-outdated"


def test_another_owners_is_refused(cast: Cast, vm: VirtualMachine, document: bytes) -> None:
    theirs = serialise_protector(parse_pdk(pdk_for(lab(), stranger())).key_protector)
    refused = refusal(cast.as_owner, vm, theirs)
    assert isinstance(refused, Invalid)
    assert refused.code == "other-owner"


def test_what_the_owner_did_not_sign_last_is_refused(cast: Cast, vm: VirtualMachine, document: bytes) -> None:
    """The fetched one itself: HGS signed it at the last start. And what a guardian made of it."""
    rolled, _ = roll(verify_protector(parse_protector(document)), lab(), counted_random("guardian"))
    for one in (document, serialise_protector(rolled)):
        assert refusal(cast.as_owner, vm, one).code == "protector-not-by-owner"


def test_what_is_no_valid_key_protector_is_refused(cast: Cast, vm: VirtualMachine, document: bytes) -> None:
    changed = granted(document)
    broken = changed.replace(b"<SignatureValue>", b"<SignatureValue>AAAA", 1)
    for one in (b"", b"<Protector/>", b"\x00\x00\x00\x05x", changed[:-1], broken, b"x" * (PROTECTOR_MAX + 5)):
        refused = refusal(cast.as_owner, vm, one)
        assert isinstance(refused, Invalid)
        assert refused.code == "protector-invalid"
    assert not Job.objects.filter(kind="replace-protector").exists()
    assert fetched(vm) == document


def test_a_protector_with_another_transport_key_is_refused(cast: Cast, vm: VirtualMachine, document: bytes) -> None:
    fresh, _ = new_protector(owner(), [lab().guardian], counted_random("fresh"))
    assert refusal(cast.as_owner, vm, serialise_protector(fresh)).code == "protector-outdated"


def test_only_the_vms_own_tenant_can(cast: Cast, vm: VirtualMachine, document: bytes) -> None:
    for actor in (cast.as_other, cast.as_admin):
        assert isinstance(refusal(actor, vm, granted(document)), Denied)
        with pytest.raises(Denied):
            fetch_key_protector(actor, vm=vm)


def test_a_host_that_is_away_and_a_vm_that_is_changing_or_was_never_made_are_said(
    cast: Cast, vm: VirtualMachine, document: bytes
) -> None:
    def codes() -> set[str]:
        with pytest.raises(Conflict) as caught:
            fetch_key_protector(cast.as_owner, vm=again(vm))
        return {caught.value.code, refusal(cast.as_owner, vm, granted(document)).code}

    VirtualMachine.objects.update(state=VmState.STARTING)
    assert codes() == {"vm-state"}
    VirtualMachine.objects.update(state=VmState.FAILED, provisioned=False)
    assert codes() == {"vm-without-host"}
    VirtualMachine.objects.update(state=VmState.RUNNING, provisioned=True)
    cast.host.state = HostState.UNKNOWN
    cast.host.save()
    assert codes() == {"host-away"}


def test_a_fetch_that_failed_says_why_until_the_next_succeeds(
    cast: Cast, vm: VirtualMachine, document: bytes, after: Any
) -> None:
    job = fetch_key_protector(cast.as_owner, vm=again(vm))
    finish_job(job.pk, "failed", HostError("vm-state-old", "Its state is of an older version.", "Start it once."))
    with pytest.raises(Conflict) as caught:
        fetched(vm)
    assert (caught.value.code, caught.value.advice) == ("vm-state-old", "Start it once.")
    after(fetch_key_protector, cast.as_owner, vm=again(vm))
    assert fetched(vm) == document


def test_a_replacement_that_the_host_lost_can_be_sent_again(
    cast: Cast, vm: VirtualMachine, host: PlayedHost, document: bytes, after: Any
) -> None:
    taken = set_key_protector(cast.as_owner, vm=vm, document=granted(document))
    finish_job(taken.job.pk, "failed", HostError("host-gone", "The host is gone.", "Try again."))
    changed = granted(document)
    after(set_key_protector, cast.as_owner, vm=again(vm), document=changed)
    assert host.protectors[str(vm.pk)] == changed
