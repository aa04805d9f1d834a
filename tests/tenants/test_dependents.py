"""What HGS is told about who depends on which of its keys."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
from django.utils import timezone

from fabric.commands.jobs import finish_job
from fabric.messages import HostError
from fabric.models import OutgoingMessage
from hgs.client import FabricClient, HgsRefused
from hgs.commands.dependents import record_dependents
from hgs.keyprotection import certificates
from hgs.keyprotection.guardian import GuardianKeys
from portal.celery import app
from portal.kernel.errors import Unavailable
from tenants import tasks
from tenants.commands.dependents import TASK, report_dependents
from tenants.commands.virtual_machines import create_vm, new_job
from tenants.models import ProtectorState, ShieldingData, VirtualMachine, VmKeyProtector
from tenants.schedule import BEAT_SCHEDULE
from tenants.selectors.dependents import dependents
from tenants.steps import REPLACE_PROTECTOR
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import branch, lab, owner
from tests.hgs.service.conftest import FABRIC
from tests.tenants.rolling import PlayedHost, hgs_has, upload


@pytest.fixture(autouse=True)
def own_library(settings: Any, tmp_path: Path) -> None:
    settings.LIBRARY_DIR = tmp_path / "library"


def encryption(keys: GuardianKeys) -> str:
    return certificates.fingerprint(keys.guardian.encryption_certificate)


def test_every_vm_and_file_is_named_with_the_keys_it_needs(cast: Cast) -> None:
    with hgs_has(lab()):
        data = upload(cast)
        vm = PlayedHost().make(cast, data)
    about = {"owner_fingerprint": owner().guardian.fingerprint, "guardians": [encryption(lab())]}
    assert dependents() == [
        {"kind": "vm", "id": str(vm.pk), "name": "web01", **about},
        {"kind": "shielding-data", "id": str(data.pk), "name": "web", **about},
    ]


def test_a_vm_in_the_making_is_a_dependent_and_one_that_failed_is_none(cast: Cast) -> None:
    with hgs_has(lab()):
        cast.template, cast.host  # noqa: B018
        started = create_vm(
            cast.as_owner, subscription=cast.subscription, name="web01", shielding_data=upload(cast),
            network=cast.network,
        )  # fmt: skip
    assert [one["kind"] for one in dependents()] == ["vm", "shielding-data"]
    finish_job(started.job.pk, "failed", HostError("x", "It failed.", ""))
    assert [one["kind"] for one in dependents()] == ["shielding-data"]


def test_a_vm_stays_a_dependent_of_the_keys_it_was_made_for(cast: Cast) -> None:
    with hgs_has(lab()):
        data = upload(cast)
        PlayedHost().make(cast, data)
    ShieldingData.objects.update(guardians=[{"name": "x", "fingerprint": "x", "encryption": "y", "pair": "z"}])
    assert [one["guardians"] for one in dependents()] == [[encryption(lab())], ["y"]]


def test_the_whole_list_goes_to_hgs_in_one_request(cast: Cast) -> None:
    with hgs_has(lab()):
        PlayedHost().make(cast, upload(cast))
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(204)

    client = FabricClient("http://hgs.test", "token", transport=httpx2.MockTransport(answer))
    with patch("fabric.guardian_service.FabricClient", return_value=client):
        assert report_dependents() == 2
    (request,) = asked
    assert (request.method, request.url.path) == ("PUT", "/fabric/v1/dependents")
    assert request.headers["Authorization"] == "Bearer token"
    assert json.loads(request.content) == {"dependents": dependents()}


def test_of_a_larger_fabric_hgs_hears_first_what_names_an_older_guardian(cast: Cast) -> None:
    with hgs_has(lab()):
        data = upload(cast, "older")
        PlayedHost().make(cast, data)
    with hgs_has(branch()) as present:
        ShieldingData.objects.update(guardian_pairs=present.pair)
        told: list[Any] = []
        with (
            patch("tenants.commands.dependents.MOST", 1),
            patch.object(FabricClient, "report_dependents", lambda _, found: told.extend(found)),
        ):
            assert report_dependents() == 1
        assert [one["kind"] for one in told] == ["vm"]
        VirtualMachine.objects.update(guardian_pairs=present.pair)
        ShieldingData.objects.update(guardian_pairs="")
        assert [one["kind"] for one in dependents()] == ["shielding-data", "vm"]


def test_the_list_is_no_longer_than_a_request_to_hgs(cast: Cast) -> None:
    with hgs_has(lab()):
        PlayedHost().make(cast, upload(cast))
    told: list[Any] = []
    with (
        patch("tenants.commands.dependents.BYTES_MOST", len(json.dumps(dependents()[0])) + 2),
        patch.object(FabricClient, "report_dependents", lambda _, found: told.extend(found)),
    ):
        assert report_dependents() == 1
    assert told == dependents()[:1]


def test_a_certificate_that_two_wrappings_share_is_named_once(cast: Cast) -> None:
    with hgs_has(lab()):
        upload(cast)
    ShieldingData.objects.update(guardians=[{"fingerprint": "a", "encryption": "y"}, {"encryption": "y"}, {}])
    assert [one["guardians"] for one in dependents()] == [["y"]]


def test_hgs_takes_the_list_as_it_is(cast: Cast) -> None:
    with hgs_has(lab()):
        PlayedHost().make(cast, upload(cast, "Web servers (1)"))
    kept = record_dependents(FABRIC, json.loads(json.dumps(dependents())), timezone.now())
    assert kept.dependents == dependents()


def test_a_refusal_of_hgs_is_an_error_of_its_client() -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(400, json={"code": "bad", "detail": "No."}))
    with pytest.raises(HgsRefused) as refused:
        FabricClient("http://hgs.test", "token", transport=transport).report_dependents([])
    assert refused.value.reason == "bad"


def test_while_hgs_is_away_the_clock_tries_again(db: None) -> None:
    away = Unavailable("hgs-unavailable", "HGS does not answer.")
    with patch("tenants.commands.dependents.fabric_client", side_effect=away):
        tasks.report_dependents()
    for name, entry in BEAT_SCHEDULE.items():
        assert app.conf.beat_schedule[name] == entry
        assert entry["task"] in app.tasks


def test_a_replaced_protector_is_reported_soon(cast: Cast) -> None:
    with hgs_has(lab()):
        vm = PlayedHost().make(cast, upload(cast))
    job = new_job(cast.as_owner, vm, REPLACE_PROTECTOR)
    VmKeyProtector.objects.create(
        vm=vm, state=ProtectorState.REPLACING, job_id=job.pk, replacement_sha256="ab" * 32,
        replacement_guardians=[{"name": "", "fingerprint": "f", "encryption": encryption(branch()), "pair": "p"}],
    )  # fmt: skip
    assert not OutgoingMessage.objects.filter(task=TASK).exists()
    finish_job(job.pk, "succeeded", result={"sha256": "ab" * 32})
    assert OutgoingMessage.objects.filter(task=TASK).exists()
    assert dependents()[0]["guardians"] == [encryption(branch())]
