"""The account of keys for the people of HGS: the page and the command with their filters, and the log's key."""

import os
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse

from hgs.keyprotection.certificates import fingerprint, grouped
from hgs.keyprotection.protector import new_protector
from hgs.models import Attestation, KeyRelease
from hgs.selectors import key_log
from hgs.selectors.releases import filtered
from hgs.transparency.checkpoint import open_checkpoint
from portal.accounts.models import User
from portal.kernel.errors import Denied
from tests.hgs.keyprotection.guardians import branch, lab, owner, stranger
from tests.hgs.service.conftest import ADMIN, FABRIC, TENANT, Clock, Trusting
from tests.hgs.service.hosts import Host, roll
from tests.hgs.service.test_cli import Terminal

VM = UUID("0b5e6f1e-7f7d-4f0e-8f55-5a9c0f1f2a3b")


@pytest.fixture
def asked(client: Client, fabric: Trusting, hv01: Host, clock: Clock) -> None:
    """One release for VM; two days later two refusals: another owner's key, and somebody without a certificate."""
    certificate = hv01.attest(client).certificate
    mine, _ = new_protector(owner(), [lab().guardian], os.urandom)
    roll(client, mine, certificate, HTTP_VIRTUAL_MACHINE=str(VM))
    clock.forward(days=2)
    certificate = hv01.attest(client).certificate
    theirs, _ = new_protector(stranger(), [branch().guardian], os.urandom)
    roll(client, theirs, certificate, HTTP_VIRTUAL_MACHINE=str(uuid4()))
    roll(client, mine, b"no certificate")


def page(client: Client, **query: str) -> str:
    response = client.get(reverse("hgs:releases"), query)
    assert response.status_code == 200
    return response.content.decode()


def indexes(**filters: str) -> list[int | None]:
    return [row.log_index for row in filtered(ADMIN, **filters)]


def test_filters_find_by_host_owner_vm_result_and_day(asked: None) -> None:
    first, last = KeyRelease.objects.get(log_index=0).at, KeyRelease.objects.get(log_index=2).at
    mine, theirs = owner().guardian.fingerprint, stranger().guardian.fingerprint
    assert indexes() == [2, 1, 0]
    assert indexes(host="HV01") == [1, 0]
    assert indexes(owner=mine) == [2, 0]
    assert indexes(owner=grouped(theirs[:16])) == [1]
    assert indexes(vm=str(VM)) == [0]
    assert indexes(result="released") == [0]
    assert indexes(result="refused") == [2, 1]
    assert indexes(until=f"{first:%Y-%m-%d}") == [0]
    assert indexes(since=f"{last:%Y-%m-%d}", until=f"{last:%Y-%m-%d}") == [2, 1]
    assert indexes(owner=mine, result="refused", host="hv01") == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"owner": "contoso"}, {"owner": "a"}, {"vm": "web01"}, {"result": "maybe"}, {"since": "yesterday"},
        {"until": "2026-13-01"}, {"until": "9999-12-31"}, {"since": "0001-01-01"},
    ],
)  # fmt: skip
def test_a_mistyped_filter_finds_nothing_rather_than_everything(asked: None, wrong: dict[str, str]) -> None:
    assert indexes(**wrong) == []


@pytest.mark.parametrize("actor", [FABRIC, TENANT])
def test_only_the_people_of_hgs_read_every_owners_entries(db: None, actor: Any) -> None:
    with pytest.raises(Denied):
        filtered(actor)


def test_the_page_shows_entry_vm_guardian_and_the_way_to_the_verdict(asked: None, signed_in: Client) -> None:
    html = page(signed_in)
    verdict = KeyRelease.objects.get(log_index=0).attestation_id
    assert reverse("hgs:attestation", args=[verdict]) in html
    assert f"?vm={VM}" in html
    assert grouped(fingerprint(lab().guardian.encryption_certificate)[:8]) in html
    assert reverse("hgs:host", args=[KeyRelease.objects.get(log_index=0).host_identity]) in html
    assert [f"log entry {index}</span>" in html for index in range(4)] == [True, True, True, False]


def test_a_verdict_that_is_no_longer_kept_is_said_and_not_linked(asked: None, signed_in: Client) -> None:
    verdict = KeyRelease.objects.get(log_index=0).attestation_id
    Attestation.objects.all().delete()
    html = page(signed_in)
    assert reverse("hgs:attestation", args=[verdict]) not in html
    assert "no longer kept" in html


def test_the_card_has_what_to_read_to_tenants(asked: None, signed_in: Client) -> None:
    html, key = page(signed_in), key_log.log_key().verifier
    assert grouped(key.fingerprint) in html
    assert str(key).replace("+", "&#x2B;") in html or str(key) in html
    assert "gf audit verify" in html


def test_a_filter_that_finds_nothing_says_so_and_keeps_what_was_typed(asked: None, signed_in: Client) -> None:
    html = page(signed_in, host="hv99", since="2026-01-01")
    assert "No release and no refusal fits the filter." in html
    assert 'value="hv99"' in html
    assert 'value="2026-01-01"' in html


def test_a_page_of_a_filtered_list_keeps_the_filter(asked: None, signed_in: Client) -> None:
    row = KeyRelease.objects.get(log_index=1)
    for index in range(60):
        row.pk, row.log_index = uuid4(), 100 + index
        row.save(force_insert=True)
    assert "host=hv01&amp;result=refused&amp;page=2" in page(signed_in, host="hv01", result="refused")


def test_a_reviewer_reads_the_page(asked: None, client: Client, reviewer: User) -> None:
    client.force_login(reviewer)
    assert "Key releases" in page(client)


def test_the_list_costs_the_same_however_long_it_is(
    asked: None, signed_in: Client, django_assert_max_num_queries: Any
) -> None:
    row = KeyRelease.objects.get(log_index=1)
    for index in range(45):
        row.pk, row.log_index = uuid4(), 100 + index
        row.save(force_insert=True)
    with django_assert_max_num_queries(12):
        page(signed_in)


def test_the_command_lists_and_filters_alike(asked: None) -> None:
    terminal = Terminal()
    (found,) = terminal.gf_json("releases", "--vm", str(VM))
    assert (found["log_index"], found["result"], found["host"], found["owner"]) == (
        0, "released", "hv01", owner().guardian.fingerprint,
    )  # fmt: skip
    assert found["guardian"] == fingerprint(lab().guardian.encryption_certificate)
    assert UUID(found["attestation"]) == KeyRelease.objects.get(log_index=0).attestation_id
    assert [row["log_index"] for row in terminal.gf_json("releases", "--result", "refused", "--limit", "1")] == [2]
    assert terminal.gf("releases").splitlines()[0].split() == [
        "ENTRY", "AT", "RESULT", "HOST", "VM", "OWNER", "OFFLINE", "REASON",
    ]  # fmt: skip


def test_the_command_shows_the_key_and_the_checkpoint_of_the_log(asked: None) -> None:
    terminal, key = Terminal(), key_log.log_key().verifier
    assert terminal.gf_json("key-log", "key") == {"vkey": str(key), "fingerprint": key.fingerprint}
    assert grouped(key.fingerprint) in terminal.gf("key-log", "key")
    shown = terminal.gf_json("key-log", "checkpoint")
    assert shown["size"] == 3
    assert open_checkpoint(shown["checkpoint"].encode(), key).size == 3


def test_an_hgs_without_a_log_says_so(db: None) -> None:
    assert "no key log yet" in Terminal().gf("key-log", "key", code=1)
