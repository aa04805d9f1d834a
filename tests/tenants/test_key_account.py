"""Who may read which entries of the account of keys, and what the portal makes of what HGS says."""

import gc
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import httpx2
import pytest
from django.core.cache import cache
from django.utils import timezone

from fabric import key_account as at_hgs
from hgs.client import FabricClient
from portal.kernel.actor import Actor, ActorKind, Role, system_actor, user_actor
from portal.kernel.audit import verify_chain
from portal.kernel.errors import Conflict, Denied, DomainError, Invalid, NotFound, Unavailable
from portal.kernel.models import AuditEvent
from tenants.commands import owner_proof
from tenants.commands.key_log_bundle import AT_ONCE, LONGEST_SECONDS, pass_on_bundle
from tenants.commands.owner_proof import close_key_account, new_challenge, prove_owner
from tenants.models import ProvenOwner, ShieldingData, VirtualMachine
from tenants.owner_proof import prove
from tenants.selectors import key_account
from tenants.selectors.key_account import Whose
from tests.cast import Cast, make_shielding_data, make_user
from tests.hgs.keyprotection.guardians import owner
from tests.tenants.fake_key_log import VKEY, FakeKeyLog
from tests.tenants.test_tenant_api import vm_of

ORIGIN = "https://portal.example"
OWNER = owner().guardian.fingerprint


@pytest.fixture(autouse=True)
def nothing_under_way() -> None:
    cache.clear()


@pytest.fixture
def owned(cast: Cast) -> ShieldingData:
    """Shielding data of the owner whose key the test holds."""
    return make_shielding_data(cast.subscription, "own", owner_fingerprint=OWNER, owner_name="contoso")


@pytest.fixture
def vm(cast: Cast, owned: ShieldingData) -> VirtualMachine:
    with patch("fabric.dispatch._send"):
        made = vm_of(cast)
    VirtualMachine.objects.update(shielding_data=owned)
    made.refresh_from_db()
    return made


def proof_for(actor: Actor, keys: Any = None) -> str:
    return prove(new_challenge(actor, owner=OWNER, origin=ORIGIN), keys or owner())


def opened(cast: Cast) -> None:
    prove_owner(cast.as_owner, proof=proof_for(cast.as_owner))


def test_a_vms_entries_are_shown_to_its_tenant_without_a_proof(
    cast: Cast, vm: VirtualMachine, key_log: FakeKeyLog
) -> None:
    key_log.add(OWNER, vm.pk, offline=3)
    key_log.add(OWNER, uuid4())
    key_log.add("a" * 64, vm.pk)
    key_log.refuse(OWNER, vm.pk)
    page = key_account.entries_of_vm(cast.as_owner, vm)
    assert [entry.index for entry in page.entries] == [3, 0]
    assert [(entry.event.is_release, entry.event.offline) for entry in page.entries] == [(False, 0), (True, 3)]
    assert page.entries[0].event.message == "The health certificate is over."
    assert dict(key_log.requests[-1].url.params) == {"owner": OWNER, "vm": str(vm.pk), "limit": "51"}


def test_a_copy_of_somebodys_shielding_data_opens_nothing(
    cast: Cast, owned: ShieldingData, key_log: FakeKeyLog
) -> None:
    make_shielding_data(cast.other_subscription, "copied", owner_fingerprint=OWNER)
    key_log.add(OWNER, uuid4())
    for read in (key_account.entries_of_owner, lambda actor, owner: pass_on_bundle(actor, owner=owner)):
        with pytest.raises(Denied) as caught:
            read(cast.as_other, OWNER)
        assert caught.value.code == "owner-not-proven"
    assert key_log.requests == []


def test_an_owner_nobody_named_to_the_tenant_does_not_exist(
    cast: Cast, owned: ShieldingData, key_log: FakeKeyLog
) -> None:
    for actor in (cast.as_other, cast.as_admin, system_actor("sweep")):
        with pytest.raises((NotFound, Denied)):
            key_account.entries_of_owner(actor, OWNER)
    with pytest.raises(NotFound):
        new_challenge(cast.as_other, owner=OWNER, origin=ORIGIN)
    assert key_log.requests == []


def test_a_proof_opens_everything_of_the_owner_and_marks_what_is_no_vm_of_the_reader(
    cast: Cast, vm: VirtualMachine, key_log: FakeKeyLog
) -> None:
    foreign = uuid4()
    key_log.add(OWNER, vm.pk)
    key_log.add(OWNER, foreign)
    key_log.refuse(OWNER)
    key_log.add("a" * 64, vm.pk)
    opened(cast)
    entries = key_account.entries_of_owner(cast.as_owner, OWNER).entries
    assert [(entry.index, entry.whose, entry.vm_name) for entry in entries] == [
        (2, Whose.UNNAMED, ""),
        (1, Whose.NOT_YOURS, ""),
        (0, Whose.YOURS, "web01"),
    ]


def test_a_vm_that_was_removed_is_still_known_as_ones_own(cast: Cast, vm: VirtualMachine, key_log: FakeKeyLog) -> None:
    key_log.add(OWNER, vm.pk)
    opened(cast)
    VirtualMachine.objects.all().delete()
    (entry,) = key_account.entries_of_owner(cast.as_owner, OWNER).entries
    assert (entry.whose, entry.vm_name) == (Whose.REMOVED, "web01")


def test_another_tenants_vm_is_none_of_the_readers(cast: Cast, vm: VirtualMachine, key_log: FakeKeyLog) -> None:
    make_shielding_data(cast.other_subscription, "copied", owner_fingerprint=OWNER)
    key_log.add(OWNER, vm.pk)
    prove_owner(cast.as_other, proof=proof_for(cast.as_other))
    (entry,) = key_account.entries_of_owner(cast.as_other, OWNER).entries
    assert (entry.whose, entry.vm_name) == (Whose.NOT_YOURS, "")


def test_an_open_account_stays_readable_after_the_last_file_is_gone(
    cast: Cast, owned: ShieldingData, key_log: FakeKeyLog
) -> None:
    opened(cast)
    owned.delete()
    key_log.add(OWNER)
    (account,) = key_account.owner_accounts(cast.as_owner)
    assert (account.fingerprint, account.name, account.files) == (OWNER, "owner guardian signing", 0)
    assert len(key_account.entries_of_owner(cast.as_owner, OWNER).entries) == 1


def test_pages_go_on_by_index(cast: Cast, owned: ShieldingData, key_log: FakeKeyLog) -> None:
    for _ in range(120):
        key_log.add(OWNER)
    opened(cast)
    seen: list[int | None] = []
    before, pages = None, 0
    while pages == 0 or before is not None:
        page = key_account.entries_of_owner(cast.as_owner, OWNER, before)
        seen += [entry.index for entry in page.entries]
        before, pages = page.before, pages + 1
    assert seen == list(range(119, -1, -1))
    assert pages == 3


def test_the_proof_is_kept_for_the_account_that_gave_it_and_audited_once(
    cast: Cast, owned: ShieldingData, key_log: FakeKeyLog
) -> None:
    opened(cast)
    opened(cast)
    proven = ProvenOwner.objects.get()
    assert (proven.user, proven.owner_fingerprint, proven.owner_name) == (cast.owner, OWNER, "owner guardian signing")
    assert AuditEvent.objects.filter(event="key-account:opened").count() == 1
    assert verify_chain() is None


def test_a_proof_through_an_api_token_says_which(cast: Cast, owned: ShieldingData) -> None:
    actor = user_actor(cast.owner, via="laptop")
    assert prove_owner(actor, proof=proof_for(actor)).proven_via == "laptop"


def test_a_proof_made_for_one_account_opens_nothing_to_another(cast: Cast, owned: ShieldingData) -> None:
    make_shielding_data(cast.other_subscription, "copied", owner_fingerprint=OWNER)
    proof = proof_for(cast.as_owner)
    with pytest.raises(Invalid) as caught:
        prove_owner(cast.as_other, proof=proof)
    assert caught.value.code == "challenge-of-another"
    assert not ProvenOwner.objects.exists()


def test_a_name_given_again_inherits_no_challenge(cast: Cast, owned: ShieldingData) -> None:
    proof = proof_for(cast.as_owner)
    again = Actor(ActorKind.USER, str(cast.other.pk), cast.owner.username, frozenset({Role.TENANT}))
    with pytest.raises(Invalid) as caught:
        prove_owner(again, proof=proof)
    assert caught.value.code == "challenge-of-another"


def test_a_challenge_of_another_portal_opens_nothing_here(cast: Cast, owned: ShieldingData, settings: Any) -> None:
    settings.SECRET_KEY = "of another portal"
    proof = proof_for(cast.as_owner)
    settings.SECRET_KEY = "for-tests-only"
    with pytest.raises(Invalid) as caught:
        prove_owner(cast.as_owner, proof=proof)
    assert caught.value.code == "challenge-of-another"


def test_a_challenge_holds_ten_minutes(cast: Cast, owned: ShieldingData, monkeypatch: pytest.MonkeyPatch) -> None:
    proof, start = proof_for(cast.as_owner), timezone.now()
    monkeypatch.setattr(owner_proof.timezone, "now", lambda: start + timedelta(minutes=10, seconds=2))
    with pytest.raises(Conflict) as caught:
        prove_owner(cast.as_owner, proof=proof)
    assert caught.value.code == "challenge-expired"
    monkeypatch.setattr(owner_proof.timezone, "now", lambda: start + timedelta(minutes=9))
    assert prove_owner(cast.as_owner, proof=proof).owner_fingerprint == OWNER


def test_challenges_differ_each_time(cast: Cast, owned: ShieldingData) -> None:
    assert len({new_challenge(cast.as_owner, owner=OWNER, origin=ORIGIN) for _ in range(20)}) == 20


def test_a_forged_proof_is_refused_with_its_reason(cast: Cast, owned: ShieldingData) -> None:
    parts = proof_for(cast.as_owner).split(".")
    parts[4] = parts[4][::-1]
    with pytest.raises(Invalid) as caught:
        prove_owner(cast.as_owner, proof=".".join(parts))
    assert caught.value.code in {"proof-signature", "proof-form"}
    assert "proof" in caught.value.fields


def test_a_fabric_administrator_opens_no_account_of_keys(cast: Cast, owned: ShieldingData) -> None:
    proof = proof_for(cast.as_owner)
    with pytest.raises(Denied) as caught:
        prove_owner(cast.as_admin, proof=proof)
    assert caught.value.code == "not-a-tenant"


def test_a_closed_account_needs_a_new_proof(cast: Cast, owned: ShieldingData, key_log: FakeKeyLog) -> None:
    opened(cast)
    with pytest.raises(NotFound):
        close_key_account(cast.as_other, owner=OWNER)
    close_key_account(cast.as_owner, owner=OWNER)
    with pytest.raises(Denied):
        key_account.entries_of_owner(cast.as_owner, OWNER)
    assert AuditEvent.objects.filter(event="key-account:closed").count() == 1
    with pytest.raises(NotFound):
        close_key_account(cast.as_owner, owner=OWNER)


def test_the_bundle_of_a_proven_owner_is_passed_on_unchanged(
    cast: Cast, owned: ShieldingData, key_log: FakeKeyLog
) -> None:
    opened(cast)
    key_log.bundle = bytes(range(256)) * 5000
    assert b"".join(pass_on_bundle(cast.as_owner, owner=OWNER, from_size=7)) == key_log.bundle
    assert dict(key_log.requests[-1].url.params) == {"owner": OWNER, "from": "7"}


def test_an_account_gets_one_bundle_at_a_time(cast: Cast, owned: ShieldingData, key_log: FakeKeyLog) -> None:
    opened(cast)
    first = pass_on_bundle(cast.as_owner, owner=OWNER)
    with pytest.raises(Conflict) as caught:
        pass_on_bundle(cast.as_owner, owner=OWNER)
    assert caught.value.code == "bundle-under-way"
    first.close()
    assert b"".join(pass_on_bundle(cast.as_owner, owner=OWNER)) == key_log.bundle
    assert b"".join(pass_on_bundle(cast.as_owner, owner=OWNER)) == key_log.bundle


def several(count: int) -> list[Actor]:
    """Accounts that proved to hold the owner's key."""
    users = [make_user(f"member{number}", Role.TENANT) for number in range(count)]
    for user in users:
        ProvenOwner.objects.create(user=user, owner_fingerprint=OWNER, proven_at=timezone.now())
    return [user_actor(user) for user in users]


def test_a_process_passes_on_so_many_bundles_at_once_and_no_more(db: None, key_log: FakeKeyLog) -> None:
    *first, last = several(AT_ONCE + 1)
    under_way = [pass_on_bundle(actor, owner=OWNER) for actor in first]
    asked = len(key_log.requests)
    for _again in range(2):  # who was told to come back may come back
        with pytest.raises(Unavailable) as caught:
            pass_on_bundle(last, owner=OWNER)
        assert (caught.value.code, caught.value.retry_after) == ("bundles-under-way", 60)
    assert len(key_log.requests) == asked, "HGS is not asked for what has no place"
    under_way[0].close()
    under_way[0].close()
    under_way[0] = pass_on_bundle(last, owner=OWNER)
    with pytest.raises(Unavailable):
        pass_on_bundle(first[0], owner=OWNER)
    for one in under_way:
        one.close()


def test_a_bundle_that_fails_or_is_dropped_takes_nobodys_place(
    cast: Cast, owned: ShieldingData, key_log: FakeKeyLog
) -> None:
    opened(cast)
    for _each in range(AT_ONCE + 1):
        key_log.away = True
        with pytest.raises(Unavailable) as caught:
            pass_on_bundle(cast.as_owner, owner=OWNER)
        assert caught.value.code == "hgs-unavailable"
        key_log.away = False
        next(pass_on_bundle(cast.as_owner, owner=OWNER))
        gc.collect()


def test_the_file_is_gone_once_its_last_piece_was_taken(cast: Cast, owned: ShieldingData, key_log: FakeKeyLog) -> None:
    opened(cast)
    key_log.bundle = bytes(64 * 1024 + 1)
    first = pass_on_bundle(cast.as_owner, owner=OWNER)
    next(first)
    with pytest.raises(Conflict):
        pass_on_bundle(cast.as_owner, owner=OWNER)
    assert next(first) == b"\0"
    pass_on_bundle(cast.as_owner, owner=OWNER).close()
    assert list(first) == []


def test_a_bundle_that_is_read_too_slowly_breaks_off(
    cast: Cast, owned: ShieldingData, key_log: FakeKeyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(cast)
    pieces = pass_on_bundle(cast.as_owner, owner=OWNER)
    late = time.monotonic() + LONGEST_SECONDS + 1
    monkeypatch.setattr("tenants.commands.key_log_bundle.monotonic", lambda: late)
    with pytest.raises(TimeoutError):
        next(pieces)
    assert b"".join(pass_on_bundle(cast.as_owner, owner=OWNER)) == key_log.bundle


def test_a_cache_that_does_not_answer_keeps_nobody_from_a_bundle(
    cast: Cast, owned: ShieldingData, key_log: FakeKeyLog
) -> None:
    opened(cast)
    with patch("tenants.commands.key_log_bundle.cache") as away:
        away.add.side_effect = away.delete.side_effect = ConnectionError
        assert b"".join(pass_on_bundle(cast.as_owner, owner=OWNER)) == key_log.bundle


def test_hgs_being_away_is_no_empty_account(cast: Cast, vm: VirtualMachine, key_log: FakeKeyLog) -> None:
    opened(cast)
    key_log.away = True
    for read in (
        lambda: key_account.entries_of_vm(cast.as_owner, vm),
        lambda: key_account.entries_of_owner(cast.as_owner, OWNER),
        lambda: pass_on_bundle(cast.as_owner, owner=OWNER),
        lambda: pass_on_bundle(cast.as_owner, owner=OWNER),  # a failure leaves nothing under way
        at_hgs.key_log_key,
    ):
        with pytest.raises(Unavailable):
            read()


@pytest.mark.parametrize(
    "wrong",
    [
        {"index": -1}, {"index": True}, {"index": "0"}, {"at": "yesterday"}, {"at": "2026-11-27T12:00:00"}, {"more": 1},
        {"result": "maybe"}, {"vm": "web01"}, {"verdict": "1"}, {"protector": "x"}, {"offline": -1}, {"offline": None},
        {"message": "x" * 501}, {"message": None}, {"host_name": ["hv01"]},
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_read_fails_the_list_rather_than_hiding(
    cast: Cast, vm: VirtualMachine, key_log: FakeKeyLog, wrong: dict[str, Any]
) -> None:
    key_log.add(OWNER, vm.pk)
    key_log.add(OWNER, vm.pk)
    key_log.events[0] |= wrong
    if "vm" in wrong:
        key_log._chosen = lambda _: key_log.events  # type: ignore[method-assign,assignment]
    with pytest.raises(Unavailable):
        key_account.entries_of_vm(cast.as_owner, vm)


@pytest.mark.parametrize("more", [{"owner": "a" * 64}, {"vm": str(uuid4())}])
def test_entries_that_were_not_asked_for_are_not_shown(
    cast: Cast, vm: VirtualMachine, key_log: FakeKeyLog, more: dict[str, str]
) -> None:
    key_log.add(OWNER, vm.pk)
    key_log.add(OWNER, vm.pk)
    key_log.events[1] |= more
    key_log._chosen = lambda _: key_log.events  # type: ignore[method-assign,assignment]
    with pytest.raises(Unavailable):
        key_account.entries_of_vm(cast.as_owner, vm)


def test_the_logs_key_has_the_hash_that_people_compare(key_log: FakeKeyLog) -> None:
    import hashlib

    found = at_hgs.key_log_key()
    assert str(found) == VKEY
    assert found.fingerprint == hashlib.sha256(VKEY.encode()).hexdigest()


@pytest.mark.parametrize(
    "response",
    [
        httpx2.Response(503, json={"code": "down", "detail": "HGS is being restored."}),
        httpx2.Response(200, text="<html>", headers={"Content-Type": "text/html"}),
        httpx2.Response(302, headers={"Location": "http://elsewhere.example/"}),
        httpx2.Response(200, content=b"x", headers={"Content-Type": "application/zip", "Content-Encoding": "gzip"}),
    ],
)
def test_what_is_no_bundle_fails_before_anything_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, response: httpx2.Response
) -> None:
    transport = httpx2.MockTransport(lambda _: response)
    monkeypatch.setattr(
        "fabric.guardian_service.FabricClient", lambda *given: FabricClient(*given, transport=transport)
    )
    with pytest.raises(DomainError):
        at_hgs.key_log_bundle(OWNER)


def test_a_bundle_that_breaks_off_at_hgs_is_an_error_and_not_half_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"PK"
        raise httpx2.ReadError("gone")

    response = httpx2.Response(200, content=pieces(), headers={"Content-Type": "application/zip"})
    transport = httpx2.MockTransport(lambda _: response)
    monkeypatch.setattr(
        "fabric.guardian_service.FabricClient", lambda *given: FabricClient(*given, transport=transport)
    )
    with pytest.raises(Unavailable):
        at_hgs.key_log_bundle(OWNER)


@pytest.mark.parametrize("body", [[], {"events": {}}, {"events": [1]}, {}])
def test_what_is_no_list_of_entries_is_refused(monkeypatch: pytest.MonkeyPatch, body: Any) -> None:
    response = httpx2.Response(200, text=json.dumps(body))
    transport = httpx2.MockTransport(lambda _: response)
    monkeypatch.setattr(
        "fabric.guardian_service.FabricClient", lambda *given: FabricClient(*given, transport=transport)
    )
    with pytest.raises(Unavailable):
        at_hgs.key_events(OWNER)


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "1" * 19, "٣"])
def test_a_place_in_the_log_is_a_whole_number(text: str) -> None:
    with pytest.raises(Invalid):
        key_account.index_in(text, "before")
