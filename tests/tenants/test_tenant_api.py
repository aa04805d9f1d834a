"""The REST API of the control plane: who gets what answer, and what a client can rely on."""

import uuid
from typing import Any
from unittest.mock import patch

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from fabric.commands.jobs import finish_job
from fabric.commands.placing import place_vm
from fabric.models import Network
from portal.kernel.errors import Unavailable
from tenants.commands.virtual_machines import create_vm
from tenants.models import ShieldingData, VirtualMachine
from tests.cast import Cast, make_host, make_shielding_data, make_template


def vm_of(cast: Cast, name: str = "web01") -> VirtualMachine:
    cast.template, cast.host  # noqa: B018 - made when asked for
    started = create_vm(
        cast.as_owner, subscription=cast.subscription, name=name, shielding_data=cast.shielding_data,
        network=cast.network,
    )  # fmt: skip
    place_vm(started.job.pk, started.vm.pk, 0, timezone.now())
    finish_job(started.job.pk, "succeeded")
    started.vm.refresh_from_db()
    return started.vm


def routes(cast: Cast) -> list[tuple[str, str, str]]:
    """(method, address, whose): every route, with objects of the owner and of the fabric in it."""
    vm, host, disk = vm_of(cast), cast.host, cast.template
    data, network = cast.shielding_data, cast.network
    one = {"reference": host.name}
    return [
        ("get", reverse("tenants-api:subscriptions"), "tenant"),
        ("get", reverse("tenants-api:virtual-machines"), "tenant"),
        ("post", reverse("tenants-api:virtual-machines"), "tenant"),
        ("get", reverse("tenants-api:virtual-machine", args=[vm.pk]), "owner"),
        ("delete", reverse("tenants-api:virtual-machine", args=[vm.pk]), "owner"),
        ("post", reverse("tenants-api:vm-start", args=[vm.pk]), "owner"),
        ("post", reverse("tenants-api:vm-stop", args=[vm.pk]), "owner"),
        ("post", reverse("tenants-api:vm-retry", args=[vm.pk]), "owner"),
        ("post", reverse("tenants-api:vm-console", args=[vm.pk]), "owner"),
        ("get", reverse("tenants-api:shielding-data"), "tenant"),
        ("post", reverse("tenants-api:shielding-data"), "tenant"),
        ("get", reverse("tenants-api:shielding-data-file", args=[data.pk]), "owner"),
        ("delete", reverse("tenants-api:shielding-data-file", args=[data.pk]), "owner"),
        ("get", reverse("tenants-api:shielding-data-templates", args=[data.pk]), "owner"),
        ("patch", reverse("tenants-api:shielding-data-file", args=[data.pk]), "owner"),
        ("get", reverse("tenants-api:rollover"), "tenant"),
        ("post", reverse("tenants-api:rollover-fetch"), "tenant-later"),
        ("get", reverse("tenants-api:rollover-work"), "tenant-later"),
        ("post", reverse("tenants-api:rollover-result"), "tenant-later"),
        ("get", reverse("fabric-api:hosts"), "fabric"),
        ("post", reverse("fabric-api:hosts"), "fabric"),
        ("get", reverse("fabric-api:host", kwargs=one), "fabric"),
        ("post", reverse("fabric-api:host-token", kwargs=one), "fabric"),
        ("post", reverse("fabric-api:host-attest", kwargs=one), "fabric"),
        ("post", reverse("fabric-api:host-diagnose", kwargs=one), "fabric"),
        ("get", reverse("fabric-api:host-attestations", kwargs=one), "fabric"),
        ("get", reverse("fabric-api:host-submissions", kwargs=one), "fabric"),
        ("post", reverse("fabric-api:host-submissions", kwargs=one), "fabric"),
        ("post", reverse("fabric-api:template-retire", args=[disk.pk]), "fabric"),
        ("post", reverse("fabric-api:template-unretire", args=[disk.pk]), "fabric"),
        ("get", reverse("fabric-api:template-usage", args=[disk.pk]), "fabric"),
        ("patch", reverse("fabric-api:template-disk", args=[disk.pk]), "fabric-policy"),
        ("get", reverse("fabric-api:uploads"), "everybody"),
        ("post", reverse("fabric-api:template-disks"), "fabric-policy"),
        ("post", reverse("fabric-api:networks"), "fabric-policy"),
        ("get", reverse("fabric-api:template-disks"), "everybody"),
        ("get", reverse("fabric-api:template-disk", args=[disk.pk]), "everybody"),
        ("get", reverse("fabric-api:template-catalog", args=[disk.pk]), "everybody"),
        ("get", reverse("fabric-api:networks"), "everybody"),
        ("get", reverse("fabric-api:network", args=[network.pk]), "everybody"),
        ("get", reverse("fabric-api:guardian"), "everybody"),
        ("get", reverse("fabric-api:guardian-metadata"), "everybody"),
    ]


def statuses_for(cast: Cast, who: Any) -> dict[tuple[str, str, str], int]:
    client = Client()
    found = routes(cast)
    if who is not None:
        client.force_login(who)
    away = Unavailable("hgs-unavailable", "HGS does not answer.")
    with patch("fabric.selectors.guardian.guardian_metadata", side_effect=away), patch("fabric.dispatch._send"):
        answers = {}
        for method, url, whose in found:
            arguments = {"data": {"name": "Not A Name", "cidr": "x"}} if method == "post" else {}
            answers[method, url, whose] = getattr(client, method)(url, **arguments).status_code
        return answers


def test_nobody_gets_anything_without_signing_in(cast: Cast) -> None:
    answers = statuses_for(cast, None)
    assert {key: status for key, status in answers.items() if status != 401} == {}


def test_another_tenant_cannot_even_tell_that_something_exists(cast: Cast) -> None:
    for (method, url, whose), status in statuses_for(cast, cast.other).items():
        expected = {
            "owner": {404},
            "tenant-later": {503, 400},
            "fabric": {404},
            "fabric-policy": {403},
            "everybody": {200, 503},
        }
        assert status in expected.get(whose, {200, 400, 404, 415}), (method, url)
    assert VirtualMachine.objects.get().state == "running"


def test_a_fabric_administrator_has_no_part_in_what_is_a_tenants(cast: Cast) -> None:
    for (method, url, whose), status in statuses_for(cast, cast.admin).items():
        if whose in ("tenant", "tenant-later", "owner"):
            assert status == 404, (method, url)
        else:
            assert status in {200, 201, 202, 204, 400, 409, 503}, (method, url)
    assert VirtualMachine.objects.get().state == "running"


def test_creating_answers_202_with_the_job_to_poll(cast: Cast, client: Client) -> None:
    cast.template, cast.host  # noqa: B018
    client.force_login(cast.owner)
    body = {"name": "web01", "shielding_data": str(cast.shielding_data.pk), "network": str(cast.network.pk)}
    answers = [
        client.post("/api/v1/virtual-machines/", body, "application/json", headers={"idempotency-key": "k"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0]["Location"] == answers[1]["Location"]
    job = client.get(answers[0]["Location"]).json()
    assert job["state"] in ("queued", "running")
    assert job["steps"][0]["key"] == "place"
    vm = client.get(f"/api/v1/virtual-machines/{answers[0].json()['id']}/").json()
    assert (vm["name"], vm["state"], vm["protection"]) == ("web01", "creating", "shielded")


@pytest.mark.parametrize("field", ["shielding_data", "network", "template"])
def test_what_is_not_the_callers_does_not_exist_for_a_create(cast: Cast, client: Client, field: str) -> None:
    cast.template  # noqa: B018
    foreign = make_shielding_data(cast.other_subscription, "foreign")
    client.force_login(cast.owner)
    body = {"name": "web01", "shielding_data": str(cast.shielding_data.pk), "network": str(cast.network.pk)}
    body[field] = str(foreign.pk if field == "shielding_data" else uuid.uuid4())
    answer = client.post("/api/v1/virtual-machines/", body, "application/json")
    assert answer.status_code == 400
    assert field in answer.json()["fields"]


def test_the_console_is_refused_with_the_reason_and_the_way_in(cast: Cast, client: Client) -> None:
    vm = vm_of(cast)
    client.force_login(cast.owner)
    answer = client.post(f"/api/v1/virtual-machines/{vm.pk}/console/")
    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "console-shielded"
    assert "Use SSH at 127.0.0.1 port" in answer.json()["detail"]


def test_a_file_that_is_no_shielding_data_is_refused_in_a_sentence_and_not_kept(cast: Cast, client: Client) -> None:
    cast.subscription  # noqa: B018
    client.force_login(cast.owner)
    for body in (b"not a pdk", b"<x/>", b"\0" * 1000):
        upload = SimpleUploadedFile("web.pdk", body)
        answer = client.post("/api/v1/shielding-data/", {"file": upload, "name": "web"})
        assert answer.status_code == 400
        assert answer.json()["code"] == "shielding-data-invalid"
        assert "file" in answer.json()["fields"]
    assert not ShieldingData.objects.exists()


def test_a_template_without_a_right_catalog_is_refused(cast: Cast, client: Client) -> None:
    client.force_login(cast.admin)
    files = {"catalog": SimpleUploadedFile("a.vsc", b"no"), "disk": SimpleUploadedFile("a.vhdx", b"vhdxfile")}
    answer = client.post("/api/v1/template-disks/", files)
    assert answer.status_code == 400
    assert answer.json()["code"] == "catalog-invalid"


def test_shielding_data_in_use_is_not_removed(cast: Cast, client: Client) -> None:
    vm_of(cast)
    client.force_login(cast.owner)
    answer = client.delete(f"/api/v1/shielding-data/{cast.shielding_data.pk}/")
    assert (answer.status_code, answer.json()["code"]) == (409, "shielding-data-in-use")


def test_a_retired_template_is_gone_for_tenants_and_kept_for_the_fabric(cast: Cast, client: Client) -> None:
    disk = make_template()
    client.force_login(cast.admin)
    assert client.post(f"/api/v1/template-disks/{disk.pk}/retire/").status_code == 200
    assert client.post(f"/api/v1/template-disks/{disk.pk}/retire/").status_code == 409
    assert client.get(f"/api/v1/template-disks/{disk.pk}/").json()["state"] == "retired"
    client.force_login(cast.owner)
    assert client.get(f"/api/v1/template-disks/{disk.pk}/").status_code == 404


def test_lists_cost_the_same_however_long_they_are(
    cast: Cast, client: Client, django_assert_max_num_queries: Any
) -> None:
    cast.plan.quota_vms, cast.plan.quota_vcpus, cast.plan.quota_memory_mib = 100, 100, 100_000
    cast.plan.save()
    for number in range(8):
        make_host(f"hv{number}x")
        vm_of(cast, f"vm{number}")
        make_shielding_data(cast.subscription, f"file{number}")
    Network.objects.get()
    for user, urls in (
        (cast.owner, ["/api/v1/virtual-machines/", "/api/v1/shielding-data/", "/api/v1/networks/", "/virtual-machines/",
                      "/shielding-data/", "/networks/", "/"]),
        (cast.admin, ["/api/v1/hosts/", "/api/v1/template-disks/", "/fabric/hosts/", "/fabric/template-disks/",
                      "/fabric/networks/", "/fabric/jobs/", "/fabric/"]),
    ):  # fmt: skip
        client.force_login(user)
        for url in urls:
            with django_assert_max_num_queries(25):
                assert client.get(url).status_code == 200, url


def test_the_openapi_description_covers_the_control_plane(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    answer = client.get("/api/schema/?format=json")
    paths = answer.json()["paths"]
    assert "/api/v1/virtual-machines/" in paths
    assert "/api/v1/hosts/{reference}/submissions/" in paths
    schemas = answer.json()["components"]["schemas"]
    assert any("creating" in schema.get("enum", ()) for schema in schemas.values())
