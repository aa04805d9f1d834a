"""The key rollover over HTTP: pages and REST, who gets what, and what a large upload may be."""

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from fabric import tasks
from fabric.models import GuardianInForce, HostState
from hgs.keyprotection import certificates
from hgs.keyprotection.guardian import guardian_keys_from
from portal.accounts.body_limits import MOST
from portal.accounts.commands import create_token
from portal.kernel.errors import Unavailable
from tenants.models import ShieldingData, VirtualMachine, VmKeyProtector
from tenants.rollover.bundle import FILE_MAX, BundleKind, read_bundle
from tenants.selectors.rollover import count_outdated
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import branch, keys_of, lab, owner
from tests.tenants.rolling import PlayedHost, hgs_has, pdk_for, regranted, upload, work_file


@pytest.fixture(autouse=True)
def own_library(settings: Any, tmp_path: Path) -> None:
    settings.LIBRARY_DIR = tmp_path / "library"


@pytest.fixture
def vm(cast: Cast, host: PlayedHost) -> Iterator[VirtualMachine]:
    with hgs_has(lab()):
        made = host.make(cast, upload(cast))
    host.sent.clear()
    with hgs_has(branch()):
        yield made


@pytest.fixture
def page(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


def text_of(client: Client, name: str, *arguments: object) -> str:
    answer = client.get(reverse(f"tenants:{name}", args=arguments))
    assert answer.status_code == 200
    return answer.content.decode()


def send(client: Client, data: bytes) -> Any:
    return client.post(reverse("tenants:rollover-upload"), {"file": SimpleUploadedFile("done.zip", data)})


def test_the_page_counts_names_and_gives_the_one_command(page: Client, cast: Cast, vm: VirtualMachine) -> None:
    text = text_of(page, "rollover")
    for said in (
        "1 virtual machine and 1 shielding data file",
        "gf key-protector regrant rollover.zip --owner owner.guardian --guardian fabric -o rollover-done.zip",
        "web01",
        "To be fetched",
        "In the work file",
    ):
        assert said in text


def test_lists_and_pages_say_what_is_outdated(page: Client, vm: VirtualMachine) -> None:
    for name, arguments in (
        ("vms", ()), ("vm", (vm.pk,)), ("shielding-data", ()), ("shielding-data-file", (vm.shielding_data_id,)),
    ):  # fmt: skip
        text = text_of(page, name, *arguments)
        assert "Outdated" in text
        assert "still name an older guardian of this fabric." in text


def test_a_page_of_a_fabric_without_a_rollover_says_nothing(page: Client, cast: Cast, host: PlayedHost) -> None:
    with hgs_has(lab()):
        host.make(cast, upload(cast))
        assert "older guardian" not in text_of(page, "vms")
        assert "Current" not in text_of(page, "vms")  # a column that has nothing to say is not there
        assert "Outdated" not in text_of(page, "shielding-data")
        assert "Nothing to do" in text_of(page, "rollover")
    GuardianInForce.objects.all().delete()
    assert "has not heard of" in text_of(page, "rollover")


def test_other_tenants_see_nothing_of_it(cast: Cast, vm: VirtualMachine, client: Client) -> None:
    client.force_login(cast.other)
    assert "web01" not in text_of(client, "rollover")
    answer = client.get(reverse("tenants:rollover-work"))
    assert (answer.status_code, answer["Location"]) == (302, reverse("tenants:rollover"))
    refused = send(client, regranted(work_file(cast.as_owner)))
    assert "You have no such shielding data." in refused.content.decode()
    assert count_outdated(cast.as_owner) == 2


def test_administrators_see_numbers_alone(cast: Cast, vm: VirtualMachine, client: Client) -> None:
    client.force_login(cast.admin)
    text = client.get(reverse("tenants:fabric-rollover")).content.decode()
    assert "contoso" in text
    assert "web01" not in text
    assert "1 virtual machine and 1 shielding data file of 1 subscription." in client.get("/fabric/").content.decode()
    for name in ("rollover", "rollover-work", "rollover-prepare", "rollover-upload"):
        assert client.get(reverse(f"tenants:{name}")).status_code == 404


def test_the_way_through_the_pages_ends_with_nothing_left(
    page: Client, cast: Cast, vm: VirtualMachine, host: PlayedHost, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert page.post(reverse("tenants:rollover-prepare")).status_code == 303
    assert "is still being fetched" in text_of(page, "rollover")
    host.work()
    answer = page.get(reverse("tenants:rollover-work"))
    assert answer["Content-Disposition"] == 'attachment; filename="rollover.zip"'
    work = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    assert len(read_bundle(io.BytesIO(work), BundleKind.WORK).items) == 2
    with django_capture_on_commit_callbacks(execute=True):
        results = send(page, regranted(work)).content.decode()
    assert "All 2 objects of the file are taken over" in results
    host.work()
    assert count_outdated(cast.as_owner) == 0


def test_each_object_that_was_not_taken_is_explained(page: Client, cast: Cast, vm: VirtualMachine) -> None:
    text = send(page, regranted(work_file(cast.as_owner), None, keys_of("elsewhere"))).content.decode()
    assert "0 of 1 object of the file are taken over" in text
    assert "It does not name this fabric&#x27;s present guardian." in text


def test_a_file_that_is_no_result_keeps_the_form_and_says_so(page: Client, vm: VirtualMachine) -> None:
    refused = send(page, b"no zip")
    assert refused.status_code in (400, 422)
    assert "not a rollover bundle" in refused.content.decode()


def test_a_result_may_be_larger_than_other_requests_of_a_tenant_but_not_endless(page: Client) -> None:
    class Body:
        was_read = False

        def read(self, *_: Any) -> bytes:
            self.was_read = True
            return b""

        readline = read

    def announced(path: str, length: int) -> tuple[int, bool]:
        body = Body()
        extra: dict[str, Any] = {"CONTENT_LENGTH": str(length), "wsgi.input": body}
        answer = page.generic("POST", path, CONTENT_TYPE="multipart/form-data; boundary=x", **extra)
        return answer.status_code, body.was_read

    for path in (reverse("tenants:rollover-upload"), reverse("tenants-api:rollover-result")):
        assert announced(path, MOST + 1)[0] != 413
        assert announced(path, FILE_MAX + 2**20) == (413, False)
    assert announced(reverse("tenants:shielding-data-new"), MOST + 1) == (413, False)


# --- REST


@pytest.fixture
def api(cast: Cast) -> dict[str, str]:
    _, token = create_token(cast.as_owner, cast.owner, name="test")
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


def test_the_api_says_what_is_left(client: Client, api: Any, vm: VirtualMachine) -> None:
    found = client.get(reverse("tenants-api:rollover"), **api).json()
    assert (found["virtual_machines"], found["shielding_data"], found["ready"]) == (1, 1, 1)
    assert found["guardian"]["guardian_fingerprint"] == branch().guardian.fingerprint
    (first, second) = found["objects"]
    assert (first["kind"], first["name"], first["state"]) == ("vm", "web01", "waiting")
    assert (second["kind"], second["state"]) == ("shielding-data", "ready")


def test_the_api_shows_guardians_and_which_are_outdated(client: Client, api: Any, vm: VirtualMachine) -> None:
    encryption = certificates.fingerprint(lab().guardian.encryption_certificate)
    for name, pk in (("virtual-machine", vm.pk), ("shielding-data-file", vm.shielding_data_id)):
        found = client.get(reverse(f"tenants-api:{name}", args=[pk]), **api).json()
        assert found["outdated_guardian"] is True
        assert found["guardians"] == [
            {"name": "lab guardian signing", "fingerprint": lab().guardian.fingerprint, "encryption": encryption}
        ]


def test_an_upload_that_names_an_older_guardian_is_taken_and_marked(
    client: Client, api: Any, cast: Cast, host: PlayedHost
) -> None:
    cast.subscription  # noqa: B018 - made when asked for
    now, older = branch(), keys_of("older")
    renewed = guardian_keys_from(
        "fabric", now.guardian.signing_certificate, now.signing_key, now.guardian.encryption_certificate,
        now.encryption_key, [older.guardian.signing_certificate],
    )  # fmt: skip
    url = f"{reverse('tenants-api:shielding-data')}?name=old"
    with hgs_has(renewed):
        answer = client.post(url, pdk_for(older, owner()), content_type="application/octet-stream", **api)
    assert answer.status_code == 201
    assert answer.json()["outdated_guardian"] is True


def test_fetching_over_the_api_names_jobs_and_what_was_left_out(
    client: Client, api: Any, cast: Cast, vm: VirtualMachine
) -> None:
    answer = client.post(reverse("tenants-api:rollover-fetch"), **api)
    assert answer.status_code == 202
    assert (len(answer.json()["jobs"]), answer.json()["left_out"]) == (1, [])
    VmKeyProtector.objects.all().delete()
    cast.host.state = HostState.UNKNOWN
    cast.host.save()
    said = client.post(reverse("tenants-api:rollover-fetch"), **api).json()
    assert (said["jobs"], [one["code"] for one in said["left_out"]]) == ([], ["host-away"])


@pytest.mark.parametrize("raw", [True, False])
def test_a_result_over_the_api_has_a_line_for_each_object(
    client: Client, api: Any, cast: Cast, vm: VirtualMachine, raw: bool
) -> None:
    work = b"".join(client.get(reverse("tenants-api:rollover-work"), **api).streaming_content)  # type: ignore[attr-defined]
    result, url = regranted(work), reverse("tenants-api:rollover-result")
    answer = (
        client.post(url, result, content_type="application/octet-stream", **api)
        if raw
        else client.post(url, {"file": SimpleUploadedFile("done.zip", result)}, **api)
    )
    assert answer.status_code == 200
    assert [(one["kind"], one["outcome"]) for one in answer.json()] == [("shielding-data", "done")]


def test_a_read_only_token_changes_nothing(client: Client, cast: Cast, vm: VirtualMachine) -> None:
    _, token = create_token(cast.as_owner, cast.owner, name="reader", read_only=True)
    api: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
    assert client.get(reverse("tenants-api:rollover"), **api).status_code == 200
    for name in ("rollover-fetch", "rollover-result"):
        assert client.post(reverse(f"tenants-api:{name}"), **api).status_code == 403


# --- what was there before


def test_rows_of_earlier_versions_are_read_again_from_their_files(cast: Cast, vm: VirtualMachine) -> None:
    before = list(ShieldingData.objects.values("guardians", "guardian_pairs"))
    old = [{"name": "lab", "fingerprint": lab().guardian.fingerprint}]
    ShieldingData.objects.update(guardians=old, guardian_pairs="")
    VirtualMachine.objects.update(guardians=[], guardian_pairs="")
    migration = importlib.import_module("tenants.migrations.0004_guardians_of_earlier_rows")
    migration.read_again(apps, None)
    assert list(ShieldingData.objects.values("guardians", "guardian_pairs")) == before
    assert list(VirtualMachine.objects.values("guardians", "guardian_pairs")) == before


def test_a_row_whose_file_cannot_be_read_stays_and_counts_as_outdated(
    page: Client, cast: Cast, vm: VirtualMachine
) -> None:
    data = ShieldingData.objects.get()
    data.blob.path.write_bytes(b"damaged")
    old = [{"name": "lab", "fingerprint": lab().guardian.fingerprint}]
    ShieldingData.objects.update(guardians=old, guardian_pairs="")
    importlib.import_module("tenants.migrations.0004_guardians_of_earlier_rows").read_again(apps, None)
    assert ShieldingData.objects.get().guardians == old
    assert "Outdated" in text_of(page, "shielding-data-file", data.pk)


def test_the_clock_notices_hgs_and_outlives_its_absence(db: None) -> None:
    with hgs_has(lab()):
        GuardianInForce.objects.all().delete()
        tasks.refresh_guardian()
        assert GuardianInForce.objects.get().guardian_fingerprint == lab().guardian.fingerprint
    away = Unavailable("hgs-unavailable", "HGS does not answer.")
    with patch("fabric.selectors.guardian.guardian_metadata", side_effect=away):
        tasks.refresh_guardian()
    assert GuardianInForce.objects.count() == 1
