"""What the portal shows a tenant is what a real HGS wrote down: from a host's request to the tenant's page."""

import os
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx2
import pytest
from django.test import Client

from fabric import key_account as at_hgs
from hgs.client import FabricClient
from hgs.keyprotection.protector import new_protector
from hgs.selectors import key_log
from hgs.transparency.audit import verify_bundle
from hgs.transparency.checkpoint import Checkpoint
from portal.kernel.errors import Conflict
from tenants.commands.key_log_bundle import pass_on_bundle
from tenants.commands.owner_proof import new_challenge, prove_owner
from tenants.models import VirtualMachine
from tenants.owner_proof import prove
from tenants.selectors import key_account
from tenants.selectors.key_account import Whose
from tests.cast import Cast, make_shielding_data
from tests.hgs.keyprotection.guardians import branch, lab, owner, stranger
from tests.hgs.service.conftest import Trusting
from tests.hgs.service.hosts import Host, roll
from tests.tenants.test_tenant_api import vm_of

OWNER = owner().guardian.fingerprint


@pytest.fixture
def portal() -> Iterator[None]:
    """The portal's client of HGS reaches this HGS."""

    def forward(request: httpx2.Request) -> httpx2.Response:
        headers: Any = {"HTTP_AUTHORIZATION": request.headers["authorization"]}
        kind = request.headers.get("content-type", "application/octet-stream")
        answer: Any = Client().generic(request.method, request.url.raw_path.decode(), request.content, kind, **headers)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return httpx2.Response(answer.status_code, content=content, headers=dict(answer.headers))

    def client(url: str, token: str, timeout: float) -> FabricClient:
        return FabricClient(url, token, timeout, transport=httpx2.MockTransport(forward))

    with patch("fabric.guardian_service.FabricClient", client):
        yield


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


@pytest.fixture
def vm(cast: Cast) -> VirtualMachine:
    data = make_shielding_data(cast.subscription, "own", owner_fingerprint=OWNER)
    with patch("fabric.dispatch._send"):
        made = vm_of(cast)
    VirtualMachine.objects.update(shielding_data=data)
    made.refresh_from_db()
    return made


def ask(client: Client, certificate: bytes, vm_id: UUID | None = None, keys: Any = None, guardian: Any = None) -> None:
    protector, _ = new_protector(keys or owner(), [(guardian or lab()).guardian], os.urandom)
    headers = {"HTTP_VIRTUAL_MACHINE": str(vm_id)} if vm_id else {}
    roll(client, protector, certificate, **headers)


def test_a_tenant_sees_each_request_for_its_keys_and_nobody_elses(
    client: Client, fabric: Trusting, hv01: Host, portal: None, cast: Cast, vm: VirtualMachine
) -> None:
    certificate = hv01.attest(client).certificate
    ask(client, certificate, vm.pk)
    ask(client, certificate, uuid4())
    ask(client, certificate, vm.pk, keys=stranger())
    ask(client, certificate, vm.pk, guardian=branch())
    ask(client, b"no certificate")
    of_vm = key_account.entries_of_vm(cast.as_owner, vm).entries
    assert [(entry.index, entry.event.is_release) for entry in of_vm] == [(3, False), (0, True)]
    assert of_vm[1].event.host_name == "hv01"
    assert of_vm[1].event.verdict
    actor = cast.as_owner
    prove_owner(actor, proof=prove(new_challenge(actor, owner=OWNER, origin="https://portal.example"), owner()))
    everything = key_account.entries_of_owner(actor, OWNER).entries
    assert [(entry.index, entry.whose) for entry in everything] == [
        (4, Whose.UNNAMED),
        (3, Whose.YOURS),
        (1, Whose.NOT_YOURS),
        (0, Whose.YOURS),
    ]
    older = key_account.entries_of_owner(actor, OWNER, before=3).entries
    assert [entry.index for entry in older] == [1, 0]


def test_the_portal_tells_the_same_key_as_hgs_does(fabric: Trusting, portal: None) -> None:
    assert at_hgs.key_log_key() == key_log.log_key().verifier


def test_what_hgs_refuses_is_said_in_its_words(fabric: Trusting, portal: None) -> None:
    with pytest.raises(Conflict) as caught:
        at_hgs.key_events("nobody")
    assert "An owner is named by a fingerprint" in caught.value.message


def test_the_bundle_that_the_portal_passes_on_proves_that_no_entry_is_hidden(
    client: Client, fabric: Trusting, hv01: Host, portal: None, cast: Cast, vm: VirtualMachine
) -> None:
    certificate, actor = hv01.attest(client).certificate, cast.as_owner
    for keys in (owner(), stranger(), owner()):
        ask(client, certificate, vm.pk, keys=keys)
    prove_owner(actor, proof=prove(new_challenge(actor, owner=OWNER, origin="https://portal.example"), owner()))
    log, mine = at_hgs.key_log_key(), owner().guardian.signing_certificate
    seen: list[int] = []

    def verified(begin: int, last: Checkpoint | None) -> Checkpoint:
        file = BytesIO(b"".join(pass_on_bundle(actor, owner=OWNER, from_size=begin)))
        return verify_bundle(file, log, mine, last, [], lambda index, _: seen.append(index)).checkpoint

    kept = verified(0, None)
    assert seen == [entry.index for entry in reversed(key_account.entries_of_owner(actor, OWNER).entries)] == [0, 2]
    ask(client, b"no certificate")
    assert verified(kept.size, kept).size == 4
    assert seen == [0, 2, 3]


def test_a_log_that_was_never_so_long_is_said(fabric: Trusting, portal: None) -> None:
    with pytest.raises(Conflict) as caught:
        at_hgs.key_log_bundle(OWNER, 99)
    assert "fewer than 99" in caught.value.message
