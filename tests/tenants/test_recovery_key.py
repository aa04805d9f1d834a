"""The portal keeps the escrow of a VM's recovery key for its owner, and nothing that is not that."""

import base64
import uuid
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from fabric.commands import jobs as fabric_jobs
from fabric.commands.placing import place_vm
from fabric.shielding.recovery import RecoveryKeyEscrow
from hgs.keyprotection.algorithms import AES_256_GCM
from hgs.keyprotection.elements import EncryptedData
from tenants.commands.virtual_machines import create_vm
from tenants.models import VirtualMachine
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def escrow_for(vm_id: uuid.UUID, owner: str) -> bytes:
    return RecoveryKeyEscrow(vm_id, "ab" * 32, owner, EncryptedData(AES_256_GCM, bytes(60))).serialise()


def create(cast: Cast, result: Any) -> VirtualMachine:
    """A VM whose job ended with what ``result`` makes of it."""
    cast.template, cast.host  # noqa: B018 - made when asked for
    started = create_vm(
        cast.as_owner, subscription=cast.subscription, name="web01", shielding_data=cast.shielding_data,
        network=cast.network,
    )  # fmt: skip
    place_vm(started.job.pk, started.vm.pk, 0, timezone.now())
    fabric_jobs.finish_job(started.job.pk, "succeeded", result=result(started.vm))
    started.vm.refresh_from_db()
    return started.vm


def facts(document: bytes) -> dict[str, Any]:
    return {"facts": {"recovery_key": base64.b64encode(document).decode()}}


def test_its_owner_downloads_it(cast: Cast, client: Client) -> None:
    vm = create(cast, lambda vm: facts(escrow_for(vm.pk, vm.owner_fingerprint)))
    client.force_login(cast.owner)
    page = client.get(f"/virtual-machines/{vm.pk}/configure/")
    address = f"/virtual-machines/{vm.pk}/recovery-key/"
    assert address in page.content.decode()
    answer = client.get(address)
    assert answer.content == escrow_for(vm.pk, vm.owner_fingerprint)
    assert answer["Content-Disposition"] == 'attachment; filename="web01.recovery"'
    assert client.get(f"/api/v1/virtual-machines/{vm.pk}/recovery-key/").status_code in (200, 401)


def test_nobody_else_does(cast: Cast, client: Client) -> None:
    vm = create(cast, lambda vm: facts(escrow_for(vm.pk, vm.owner_fingerprint)))
    client.force_login(cast.other)
    assert client.get(f"/virtual-machines/{vm.pk}/recovery-key/").status_code == 404


@pytest.mark.parametrize(
    "result",
    [
        lambda _vm: {},
        lambda _vm: {"facts": {"recovery_key": "no base64!"}},
        lambda _vm: {"facts": {"recovery_key": 7}},
        lambda _vm: facts(b"<x/>"),
        lambda _vm: facts(b"a" * 10_000),
        lambda vm: facts(escrow_for(uuid.uuid4(), vm.owner_fingerprint)),
        lambda vm: facts(escrow_for(vm.pk, "12" * 32)),
    ],
)
def test_what_is_not_this_vms_is_not_kept_and_the_vm_runs(cast: Cast, client: Client, result: Any) -> None:
    vm = create(cast, result)
    assert vm.state == "running"
    assert not bytes(vm.recovery_key)
    client.force_login(cast.owner)
    assert client.get(f"/virtual-machines/{vm.pk}/recovery-key/").status_code == 404
    assert "None." in client.get(f"/virtual-machines/{vm.pk}/configure/").content.decode()
