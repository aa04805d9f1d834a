"""The account of keys: what the log holds, who can read what of it, and that nothing can be changed unnoticed."""

import hashlib
import io
import os
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.test import Client

from hgs.commands import key_log as appending
from hgs.keyprotection.protector import new_protector
from hgs.models import KeyRelease, LogHead, LogLeaf, LogTile, ServiceConfiguration
from hgs.selectors import key_log
from hgs.selectors.key_events import event_of
from hgs.selectors.key_log_check import damage
from hgs.strangers import Allowance
from hgs.transparency.audit import verify_bundle
from hgs.transparency.checkpoint import open_checkpoint
from hgs.transparency.entry import KeyEvent, OwnerKey, opens, parse_leaf
from hgs.transparency.errors import AuditError
from hgs.transparency.merkle import Frontier, leaf_hash
from hgs.transparency.note import VerifierKey
from hgs.transparency.tiles import parse_entries
from portal.kernel.errors import Unavailable
from tests.hgs.keyprotection.guardians import branch, lab, owner, stranger
from tests.hgs.service.conftest import TOKEN, Clock, Trusting
from tests.hgs.service.hosts import Host, roll

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def certificate(client: Client, fabric: Trusting, hv01: Host) -> bytes:
    return hv01.attest(client).certificate


def ask(client: Client, certificate: bytes, of: object = None, **headers: str) -> object:
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    return roll(client, of or protector, certificate, **headers)[1]  # type: ignore[arg-type]


def grow(entries: int) -> None:
    """Append entries of nobody in batches, as threads do that come together."""
    for begin in range(0, entries, 64):
        batch = range(begin, min(begin + 64, entries))
        events = [KeyEvent(at=AT, result="refused", reason=f"r{index}") for index in batch]
        appending.commit([appending.Entry(event, None) for event in events], key_log.log_key())


def root_of(leaves: list[bytes]) -> bytes:
    tree = Frontier()
    tree.extend(leaf_hash(leaf) for leaf in leaves)
    return tree.root()


# ---- entries -------------------------------------------------------------------------------------------------------


def test_an_entry_opens_to_its_event_and_is_its_owners_alone(client: Client, certificate: bytes) -> None:
    ask(client, certificate)
    row, leaf = KeyRelease.objects.get(), parse_leaf(bytes(LogLeaf.objects.get().leaf))
    assert opens(leaf, event_of(row).serialise(), bytes(row.blinding))
    assert OwnerKey.of(owner().guardian.signing_certificate).owns(leaf)
    assert not OwnerKey.of(branch().guardian.signing_certificate).owns(leaf)


def test_the_host_says_for_which_virtual_machine(client: Client, certificate: bytes) -> None:
    vm = uuid4()
    ask(client, certificate, HTTP_VIRTUAL_MACHINE=str(vm))
    ask(client, certificate, HTTP_VIRTUAL_MACHINE="nonsense")
    assert [row.vm_id for row in KeyRelease.objects.order_by("log_index")] == [vm, None]


def test_an_owner_sees_that_somebody_without_a_certificate_asked(client: Client, fabric: Trusting) -> None:
    ask(client, b"no certificate")
    assert KeyRelease.objects.get().owner_fingerprint == owner().guardian.fingerprint


def test_nobody_can_put_entries_into_an_account_without_the_owners_signature(
    client: Client, certificate: bytes
) -> None:
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    other, _ = new_protector(stranger(), [lab().guardian], os.urandom)

    bent = replace(protector, guardian_signature=other.guardian_signature)
    ask(client, certificate, bent)
    row, leaf = KeyRelease.objects.get(), parse_leaf(bytes(LogLeaf.objects.get().leaf))
    assert row.owner_fingerprint == ""
    assert not OwnerKey.of(owner().guardian.signing_certificate).owns(leaf)


def test_who_is_refused_too_often_is_not_listened_to_and_fills_no_log(
    client: Client, certificate: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hgs.commands.release.STRANGERS", Allowance(burst=3, per_second=0))
    answers = [ask(client, b"no certificate") for _ in range(5)]
    assert [response.status_code for response in answers] == [403, 403, 403, 429, 429]  # type: ignore[attr-defined]
    assert answers[-1]["Retry-After"] == "30"  # type: ignore[index]
    assert KeyRelease.objects.count() == LogLeaf.objects.count() == 3
    assert ask(client, certificate).status_code == 200, "a healthy host is not held up by strangers"  # type: ignore[attr-defined]


def test_a_host_whose_certificate_counts_no_more_is_told_so_whatever_strangers_do(
    client: Client, certificate: bytes, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hgs.commands.release.STRANGERS", Allowance(burst=1, per_second=0))
    clock.forward(hours=9)
    assert [ask(client, b"x").status_code for _ in range(2)] == [403, 429]  # type: ignore[attr-defined]
    assert ask(client, certificate).status_code == 403  # type: ignore[attr-defined]


def test_a_host_gets_no_more_keys_at_once_than_the_log_should_hold(
    client: Client, certificate: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hgs.commands.release.RELEASES", Allowance(burst=2, per_second=0))
    answers = [ask(client, certificate) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]  # type: ignore[attr-defined]
    assert b"EncryptedTransportKeys" not in answers[-1].content  # type: ignore[attr-defined]
    assert KeyRelease.objects.count() == 2


def test_a_key_of_the_log_from_before_a_restore_signs_nothing(initialised: None) -> None:
    before = key_log.log_key()
    ServiceConfiguration.objects.update(log_origin="another-log", trust_stamp=uuid4())
    with pytest.raises(Unavailable):
        appending.commit([appending.Entry(KeyEvent(at=AT, result="refused"), None)], before)
    assert not LogLeaf.objects.exists()


# ---- the log as anybody may read it ---------------------------------------------------------------------------------


def test_the_checkpoint_is_signed_and_fixes_every_entry(client: Client, certificate: bytes) -> None:
    for _ in range(3):
        ask(client, certificate)
    key = VerifierKey.parse(client.get("/KeyLog/key").content.decode().strip())
    checkpoint = open_checkpoint(client.get("/KeyLog/checkpoint").content, key)
    bundle = client.get("/KeyLog/tile/entries/000.p/3").content
    assert (checkpoint.size, checkpoint.root) == (3, root_of(parse_entries(bundle, 3)))


def test_an_empty_log_has_a_checkpoint(client: Client, initialised: None) -> None:
    key = VerifierKey.parse(client.get("/KeyLog/key").content.decode().strip())
    checkpoint = open_checkpoint(client.get("/keylog/checkpoint").content, key)
    assert (checkpoint.size, checkpoint.root) == (0, hashlib.sha256(b"").digest())


def test_tiles_are_those_of_the_tree(client: Client, initialised: None) -> None:
    grow(600)
    leaves = []
    for path, width in (("000", 256), ("001", 256), ("002.p/88", 88)):
        entries = parse_entries(client.get(f"/KeyLog/tile/entries/{path}").content, width)
        assert client.get(f"/KeyLog/tile/0/{path}").content == b"".join(map(leaf_hash, entries))
        leaves += entries
    assert client.get("/KeyLog/tile/1/000.p/2").content == root_of(leaves[:256]) + root_of(leaves[256:512])
    assert client.get("/KeyLog/tile/0/000.p/7").content == b"".join(map(leaf_hash, leaves[:7])), (
        "what was partial stays"
    )
    assert root_of(leaves) == open_checkpoint(key_log.checkpoint(), key_log.log_key().verifier).root
    assert "immutable" in client.get("/KeyLog/tile/0/001")["Cache-Control"]
    assert "immutable" not in client.get("/KeyLog/tile/0/002.p/88")["Cache-Control"]


@pytest.mark.parametrize(
    "path", ["tile/0/003", "tile/0/002.p/89", "tile/1/001", "tile/entries/9", "tile/0/x000/000", "tile/9/000", "tile/"]
)
def test_what_the_log_has_not_is_not_found(client: Client, initialised: None, path: str) -> None:
    grow(600)
    assert client.get(f"/KeyLog/{path}").status_code == 404


def test_the_log_cannot_be_written_to(client: Client, initialised: None) -> None:
    assert client.post("/KeyLog/checkpoint").status_code == 405


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 600])
def test_the_frontier_of_any_earlier_size_is_known(initialised: None, size: int) -> None:
    grow(600)
    tree = Frontier()
    tree.extend(key_log.leaf_hashes(0, size))
    assert key_log.frontier_at(size).serialise() == tree.serialise()


# ---- what was changed is found -------------------------------------------------------------------------------------


def test_a_whole_log_is_whole(initialised: None) -> None:
    assert damage() is None
    grow(600)
    assert damage() is None


def test_changed_details_are_found(initialised: None) -> None:
    grow(300)
    KeyRelease.objects.filter(log_index=270).update(host_name="another")
    assert "entry 270" in (damage() or "")


def test_missing_details_are_found(initialised: None) -> None:
    grow(5)
    KeyRelease.objects.filter(log_index=2).delete()
    assert "entry 2 " in (damage() or "")


def test_a_missing_entry_is_found(initialised: None) -> None:
    grow(5)
    LogLeaf.objects.filter(index=4).delete()
    assert damage() is not None
    LogLeaf.objects.filter(index=1).delete()
    assert "Entry 1 " in (damage() or "")


def test_a_log_that_was_cut_off_and_its_head_with_it_does_not_fit_its_checkpoint(initialised: None) -> None:
    grow(5)
    LogLeaf.objects.filter(index=4).delete()
    KeyRelease.objects.filter(log_index=4).delete()
    LogHead.objects.update(size=4, frontier=key_log.frontier_at(4).serialise())
    assert "checkpoint" in (damage() or "")


@pytest.mark.parametrize("change", [{"hashes": bytes(8192)}, {"root": bytes(32)}])
def test_a_changed_tile_is_found(initialised: None, change: dict[str, bytes]) -> None:
    grow(256)
    LogTile.objects.update(**change)
    assert "tile" in (damage() or "")


# ---- through the fabric --------------------------------------------------------------------------------------------


def test_the_fabric_reads_an_owners_entries_newest_first(client: Client, certificate: bytes) -> None:
    vm = uuid4()
    ask(client, certificate, HTTP_VIRTUAL_MACHINE=str(vm))
    ask(client, b"no certificate")
    mine = owner().guardian.fingerprint
    found = client.get("/fabric/v1/key-events", {"owner": mine}, **TOKEN).json()["events"]
    assert [(event["index"], event["result"]) for event in found] == [(1, "refused"), (0, "released")]
    older = client.get("/fabric/v1/key-events", {"owner": mine, "before": "1"}, **TOKEN).json()["events"]
    assert [event["index"] for event in older] == [0]
    of_vm = client.get("/fabric/v1/key-events", {"owner": mine, "vm": str(vm)}, **TOKEN).json()["events"]
    assert [event["vm"] for event in of_vm] == [str(vm)]
    assert of_vm[0]["host_name"] == "hv01"
    others = client.get("/fabric/v1/key-events", {"owner": "0" * 64}, **TOKEN).json()["events"]
    assert others == []


def bundle_of(client: Client, begin: int = 0) -> io.BytesIO:
    response = client.get(
        "/fabric/v1/key-log/bundle", {"owner": owner().guardian.fingerprint, "from": str(begin)}, **TOKEN
    )
    assert response.status_code == 200, response.content
    return io.BytesIO(b"".join(response))  # type: ignore[arg-type]


def test_the_bundle_proves_to_an_owner_what_happened_to_his_keys(client: Client, certificate: bytes) -> None:
    key, mine = key_log.log_key().verifier, owner().guardian.signing_certificate
    vm = uuid4()
    ask(client, certificate, HTTP_VIRTUAL_MACHINE=str(vm))
    grow(300)
    ask(client, b"no certificate")
    report = verify_bundle(bundle_of(client), key, mine)
    assert (report.mine.released, report.mine.refused, report.examined) == (1, 1, 302)
    assert report.machines[str(vm)].released == 1
    grow(300)
    ask(client, certificate)
    later = verify_bundle(bundle_of(client, 302), key, mine, report.checkpoint)
    assert (later.mine.released, later.mine.refused, later.examined) == (1, 0, 301)


def test_a_release_whose_details_are_gone_is_missed_by_its_owner(client: Client, certificate: bytes) -> None:
    ask(client, certificate)
    KeyRelease.objects.all().delete()
    with pytest.raises(AuditError) as caught:
        verify_bundle(bundle_of(client), key_log.log_key().verifier, owner().guardian.signing_certificate)
    assert caught.value.code == "entry-hidden"


def test_a_log_that_was_made_anew_is_no_longer_the_one_an_owner_checked(client: Client, certificate: bytes) -> None:
    """Whoever has the log's key and the database cannot take an entry back once an owner has looked."""
    key, mine = key_log.log_key().verifier, owner().guardian.signing_certificate
    ask(client, certificate)
    kept = verify_bundle(bundle_of(client), key, mine).checkpoint
    for model in (KeyRelease, LogLeaf, LogTile, LogHead):
        model.objects.all().delete()
    grow(5)
    assert damage() is None
    with pytest.raises(AuditError) as caught:
        verify_bundle(bundle_of(client), key, mine, kept)
    assert caught.value.code == "log-forked"


@pytest.mark.parametrize("begin", ["7", "x", "-1"])
def test_a_bundle_from_where_the_log_never_was_is_refused(client: Client, initialised: None, begin: str) -> None:
    grow(3)
    query = {"owner": owner().guardian.fingerprint, "from": begin}
    assert client.get("/fabric/v1/key-log/bundle", query, **TOKEN).status_code in (400, 404, 422)


@pytest.mark.parametrize(
    "query", [{}, {"owner": "x"}, {"owner": "0" * 64, "vm": "x"}, {"owner": "0" * 64, "before": "-1"}]
)
def test_a_question_that_is_none_is_answered_so(client: Client, initialised: None, query: dict[str, str]) -> None:
    assert client.get("/fabric/v1/key-events", query, **TOKEN).status_code in (400, 422)


def test_strangers_read_no_account(client: Client, initialised: None) -> None:
    assert client.get("/fabric/v1/key-events", {"owner": "0" * 64}).status_code == 401
    assert client.get("/fabric/v1/revocations").status_code == 401


def test_entries_are_logged_when_they_happen(client: Client, certificate: bytes, clock: Clock) -> None:
    clock.forward(minutes=3)
    ask(client, certificate)
    assert KeyRelease.objects.get().at == clock.now
