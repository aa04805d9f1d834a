"""The account of keys in the portal and over REST: who opens what, and what it says."""

from queue import SimpleQueue
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from tenants.models import ProvenOwner, VirtualMachine
from tenants.owner_proof import parse_challenge, prove
from tests.cast import Cast, make_shielding_data
from tests.hgs.keyprotection.guardians import owner, stranger
from tests.tenants.fake_key_log import VKEY, FakeKeyLog
from tests.tenants.test_tenant_api import vm_of

OWNER = owner().guardian.fingerprint
API = "/api/v1/key-account/"


@pytest.fixture
def vm(cast: Cast) -> VirtualMachine:
    data = make_shielding_data(cast.subscription, "own", owner_fingerprint=OWNER, owner_name="contoso")
    with patch("fabric.dispatch._send"):
        made = vm_of(cast)
    VirtualMachine.objects.update(shielding_data=data)
    made.refresh_from_db()
    return made


@pytest.fixture
def tenant(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


def open_account(client: Client) -> Any:
    challenge = client.post(f"{API}challenges/", {"owner": OWNER}).json()["challenge"]
    return client.post(f"{API}proofs/", {"proof": prove(challenge, owner())})


def pages(vm: VirtualMachine) -> list[str]:
    of_owner = ("key-account", "key-account-prove", "key-account-close", "key-account-bundle")
    return [
        reverse("tenants:vm-keys", args=[vm.pk]),
        *(reverse(f"tenants:{name}", args=[OWNER]) for name in of_owner),
    ]


def api_addresses(vm: VirtualMachine) -> list[tuple[str, str]]:
    return [
        ("get", f"{API}?owner={OWNER}"),
        ("get", f"{API}?vm={vm.pk}"),
        ("get", f"{API}?owner={OWNER}&vm={vm.pk}"),
        ("get", f"{API}bundle/?owner={OWNER}"),
        ("delete", f"{API}proofs/{OWNER}/"),
    ]


def test_nobody_reads_anything_without_signing_in(vm: VirtualMachine, key_log: FakeKeyLog, client: Client) -> None:
    listed = [reverse("tenants:key-accounts")]
    assert {url: client.get(url).status_code for url in pages(vm) + listed} == dict.fromkeys(pages(vm) + listed, 302)
    posts = [
        ("post", f"{API}challenges/"),
        ("post", f"{API}proofs/"),
        ("get", f"{API}owners/"),
        ("get", f"{API}log-key/"),
    ]
    for method, url in [*api_addresses(vm), *posts]:
        assert getattr(client, method)(url).status_code == 401, url
    assert key_log.requests == []


def test_an_outsider_finds_nothing_there(cast: Cast, vm: VirtualMachine, key_log: FakeKeyLog, client: Client) -> None:
    open_as(cast.owner)
    client.force_login(cast.other)
    assert {url: client.get(url).status_code for url in pages(vm)} == dict.fromkeys(pages(vm), 404)
    for method, url in api_addresses(vm):
        assert getattr(client, method)(url).status_code == 404, url
    assert client.post(f"{API}challenges/", {"owner": OWNER}).status_code == 404
    assert client.get(f"{API}owners/").json() == []
    assert key_log.requests == []
    assert ProvenOwner.objects.count() == 1


def test_a_fabric_administrator_finds_nothing_there(
    cast: Cast, vm: VirtualMachine, key_log: FakeKeyLog, client: Client
) -> None:
    open_as(cast.owner)
    client.force_login(cast.admin)
    every = [*pages(vm), reverse("tenants:key-accounts")]
    assert {url: client.get(url).status_code for url in every} == dict.fromkeys(every, 404)
    more = [
        ("post", f"{API}challenges/"),
        ("post", f"{API}proofs/"),
        ("get", f"{API}owners/"),
        ("get", f"{API}log-key/"),
    ]
    for method, url in [*api_addresses(vm), *more]:
        assert getattr(client, method)(url).status_code == 404, url
    assert key_log.requests == []
    assert ProvenOwner.objects.count() == 1


def open_as(user: Any) -> None:
    signed_in = Client()
    signed_in.force_login(user)
    assert open_account(signed_in).status_code == 201


def test_a_tenant_without_a_proof_reads_of_the_own_vm_alone(
    vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client
) -> None:
    key_log.add(OWNER, vm.pk)
    key_log.add(OWNER, uuid4(), host_name="hidden-host")
    for url in (f"{API}?owner={OWNER}", f"{API}?owner={OWNER}&vm={uuid4()}", f"{API}bundle/?owner={OWNER}"):
        answer = tenant.get(url)
        assert (answer.status_code, answer.json()["code"]) == (403, "owner-not-proven")
    for url in (f"{API}?vm={vm.pk}", f"{API}?owner={OWNER}&vm={vm.pk}"):
        found = tenant.get(url).json()
        assert [entry["index"] for entry in found["entries"]] == [0]
        assert found["entries"][0]["vm_name"] == "web01"
    page = tenant.get(reverse("tenants:key-account", args=[OWNER])).content.decode()
    assert "Prove first that these keys are yours" in page
    assert "hidden-host" not in page
    assert tenant.get(reverse("tenants:key-account-bundle", args=[OWNER])).status_code == 403
    assert tenant.get(reverse("tenants:key-account-close", args=[OWNER])).status_code == 404


def test_another_owner_named_with_the_own_vm_is_not_answered(
    vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client
) -> None:
    assert tenant.get(f"{API}?owner={'a' * 64}&vm={vm.pk}").status_code == 404
    assert tenant.get(f"{API}?vm={uuid4()}").status_code == 404
    assert tenant.get(API).status_code == 400
    assert tenant.get(f"{API}?vm=web01").status_code == 400
    assert tenant.get(f"{API}?vm={vm.pk}&before=x").status_code == 400
    assert key_log.requests == []


def test_a_vms_page_says_who_asked_for_its_keys(vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client) -> None:
    key_log.add(OWNER, vm.pk, offline=4)
    key_log.refuse(OWNER, vm.pk, message="The health certificate <b>is over</b>.", host_name="")
    page = tenant.get(reverse("tenants:vm-keys", args=[vm.pk])).content.decode()
    for text in (
        "Released",
        "Refused",
        "The health certificate &lt;b&gt;is over",
        "hv01",
        "unknown",
        "8b8f2a52…",
        "With 4 starts without HGS.",
        "log entry 1",
    ):
        assert text in page
    assert f'data-copy="{0:064x}"' in page
    assert "HGS cannot check it" in page


def test_an_owners_page_marks_requests_for_no_vm_of_the_reader(
    vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client
) -> None:
    key_log.add(OWNER, vm.pk)
    key_log.add(OWNER, uuid4())
    key_log.refuse(OWNER)
    assert open_account(tenant).status_code == 201
    page = tenant.get(reverse("tenants:key-account", args=[OWNER])).content.decode()
    assert page.count("No VM of yours") == 1
    assert "none named" in page
    assert ">web01</a>" in page
    assert VKEY in page
    assert "gf audit verify" in page


def test_hgs_being_away_is_said_and_is_no_empty_list(vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client) -> None:
    open_account(tenant)
    key_log.away = True
    for url in (reverse("tenants:vm-keys", args=[vm.pk]), reverse("tenants:key-account", args=[OWNER])):
        page = tenant.get(url).content.decode()
        assert "The account of keys cannot be shown now." in page
        assert "Try again in a minute" in page
        assert "no release and no refusal" not in page
    answer = tenant.get(f"{API}?owner={OWNER}")
    assert (answer.status_code, answer.json()["code"]) == (503, "hgs-unavailable")
    answer = tenant.get(reverse("tenants:key-account-bundle", args=[OWNER]))
    assert answer.status_code == 503
    assert "does not answer" in answer.content.decode()


def test_nothing_written_down_is_told_from_hgs_being_away(
    vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client
) -> None:
    page = tenant.get(reverse("tenants:vm-keys", args=[vm.pk])).content.decode()
    assert "no release and no refusal" in page
    assert "As HGS told it" in page


def test_the_proof_is_given_on_its_page(vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client) -> None:
    url = reverse("tenants:key-account-prove", args=[OWNER])
    challenge = tenant.get(url).context["challenge"]
    assert (parse_challenge(challenge).origin, parse_challenge(challenge).account) == ("http://testserver", "owner")
    proof = prove(challenge, owner())
    answer = tenant.post(url, {"proof": f"{proof[:500]}\r\n{proof[500:]} "})
    assert (answer.status_code, answer["Location"]) == (303, reverse("tenants:key-account", args=[OWNER]))
    assert ProvenOwner.objects.get().owner_fingerprint == OWNER
    assert tenant.post(reverse("tenants:key-account-close", args=[OWNER])).status_code == 303
    assert not ProvenOwner.objects.exists()


def test_a_wrong_proof_keeps_what_was_typed_and_says_why(
    vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client
) -> None:
    url = reverse("tenants:key-account-prove", args=[OWNER])
    answer = tenant.post(url, {"proof": "gf-owner-proof.1.x"})
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "This is not a proof of an owner&#x27;s key." in page
    assert "gf-owner-proof.1.x" in page


def test_a_strangers_proof_opens_nothing_over_rest(vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client) -> None:
    text = tenant.post(f"{API}challenges/", {"owner": OWNER}).json()["challenge"]
    theirs = ".".join((*text.split(".")[:4], stranger().guardian.fingerprint, *text.split(".")[5:]))
    answer = tenant.post(f"{API}proofs/", {"proof": prove(theirs, stranger())})
    assert (answer.status_code, answer.json()["code"]) == (400, "challenge-of-another")
    assert not ProvenOwner.objects.exists()


def test_the_bundle_is_a_download_that_is_not_cached(vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client) -> None:
    open_account(tenant)
    key_log.bundle = b"PK" * 100_000
    for url in (
        reverse("tenants:key-account-bundle", args=[OWNER]) + "?from=12",
        f"{API}bundle/?owner={OWNER}&from=12",
    ):
        answer: Any = tenant.get(url)
        assert answer.status_code == 200
        assert b"".join(answer.streaming_content) == key_log.bundle
        assert answer["Content-Type"] == "application/zip"
        assert answer["Content-Length"] == str(len(key_log.bundle))
        assert answer["Content-Disposition"] == f'attachment; filename="key-log-{OWNER[:16]}.zip"'
        assert answer["Cache-Control"] == "private, no-store"
        assert key_log.requests[-1].url.params["from"] == "12"
    assert tenant.get(f"{API}bundle/?owner={OWNER}&from=-1").status_code == 400


def test_who_finds_no_place_for_a_bundle_is_told_when_to_come_back(
    vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_account(tenant)
    monkeypatch.setattr("tenants.commands.key_log_bundle._places", SimpleQueue())
    page = tenant.get(reverse("tenants:key-account-bundle", args=[OWNER]))
    rest = tenant.get(f"{API}bundle/?owner={OWNER}")
    assert (page.status_code, page["Retry-After"]) == (rest.status_code, rest["Retry-After"]) == (503, "60")
    assert "as many bundles as it can at once" in page.content.decode()
    assert rest.json()["code"] == "bundles-under-way"


def test_rest_lists_the_owners_and_the_logs_key(vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client) -> None:
    make_shielding_data(VirtualMachine.objects.get().subscription, "second", owner_fingerprint="a" * 64)
    open_account(tenant)
    found = {one["owner"]: one for one in tenant.get(f"{API}owners/").json()}
    assert (found[OWNER]["is_open"], found["a" * 64]["is_open"]) == (True, False)
    assert found["a" * 64]["proven_at"] is None
    assert tenant.get(f"{API}log-key/").json()["vkey"] == VKEY
    assert tenant.delete(f"{API}proofs/{OWNER}/").status_code == 204
    assert tenant.get(f"{API}?owner={OWNER}").status_code == 403
    page = tenant.get(reverse("tenants:key-accounts")).content.decode()
    assert page.count("Not proven yet") == 3
    assert f'href="{reverse("tenants:key-account", args=[OWNER])}"' in page
    open_account(tenant)
    for column in ("name", "state", "fingerprint", "files", "proven_at"):
        assert tenant.get(reverse("tenants:key-accounts"), {"sort": column}).status_code == 200


def test_a_page_of_entries_names_vms_with_few_queries(
    vm: VirtualMachine, key_log: FakeKeyLog, tenant: Client, django_assert_max_num_queries: Any
) -> None:
    open_account(tenant)
    for _ in range(60):
        key_log.add(OWNER, uuid4())
    with django_assert_max_num_queries(25):
        page = tenant.get(reverse("tenants:key-account", args=[OWNER]))
    assert "?before=10" in page.content.decode()
    older = tenant.get(reverse("tenants:key-account", args=[OWNER]) + "?before=10").content.decode()
    assert 'href="?before=' not in older
    assert ">Newest</a>" in older


def test_openapi_describes_the_account(vm: VirtualMachine, tenant: Client) -> None:
    described = tenant.get("/api/schema/?format=json").json()["paths"]
    for address in ("", "owners/", "challenges/", "proofs/", "proofs/{owner}/", "bundle/", "log-key/"):
        assert f"{API}{address}" in described
    assert "application/zip" in described[f"{API}bundle/"]["get"]["responses"]["200"]["content"]
