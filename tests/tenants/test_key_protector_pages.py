"""One VM's key protector over HTTP: the VM's page and REST, who gets what, and what is refused."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from fabric.commands.jobs import finish_job
from fabric.messages import HostError
from fabric.models import HostState
from hgs.keyprotection.protector_form import PROTECTOR_MAX, with_length_prefix
from portal.accounts.commands import create_token
from portal.kernel.models import Job
from tenants.commands.key_protector import fetch_key_protector
from tenants.models import VirtualMachine, VmKeyProtector
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import branch, lab, owner
from tests.tenants.rolling import PlayedHost, hgs_has, upload
from tests.tenants.test_key_protector import granted, without


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
def page(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


@pytest.fixture
def sending(django_capture_on_commit_callbacks: Any, host: PlayedHost) -> Any:
    """Runs a request; what it leaves for after the commit reaches the host."""

    def run(command: Any, *arguments: Any, **named: Any) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            return command(*arguments, **named)

    return run


@pytest.fixture
def document(cast: Cast, vm: VirtualMachine, host: PlayedHost, sending: Any) -> bytes:
    sending(fetch_key_protector, cast.as_owner, vm=vm)
    host.work()
    return bytes(VmKeyProtector.objects.get().document)


def address(vm: VirtualMachine, name: str) -> str:
    return reverse(f"tenants:{name}", args=[vm.pk])


def configure(client: Client, vm: VirtualMachine) -> str:
    answer = client.get(address(vm, "vm-configure"))
    assert answer.status_code == 200
    return answer.content.decode()


def file(content: bytes) -> dict[str, Any]:
    return {"file": SimpleUploadedFile("web01-2.protector", content)}


def test_the_page_says_who_can_open_it_and_how_to_change_that(page: Client, vm: VirtualMachine) -> None:
    assert f'href="{address(vm, "vm-configure")}#key-protector"' in page.get(address(vm, "vm")).content.decode()
    text = configure(page, vm)
    for said in (
        "Not fetched",
        "lab guardian signing",
        "this fabric's guardian</span>",
        lab().guardian.fingerprint[:4],
        "gf key-protector grant web01.protector --owner owner.guardian --guardian NAME -o web01-2.protector",
        "--notice notice.xml",
        "Fetch it first.",
        address(vm, "vm-key-protector-fetch"),
    ):
        assert said in text
    assert f'href="{address(vm, "vm-key-protector-file")}"' not in text


def test_the_whole_way_through_the_pages(page: Client, vm: VirtualMachine, host: PlayedHost, sending: Any) -> None:
    assert "holds no secret in the clear" in page.get(address(vm, "vm-key-protector-fetch")).content.decode()
    answer = sending(page.post, address(vm, "vm-key-protector-fetch"))
    assert (answer.status_code, answer["Location"]) == (303, address(vm, "vm-configure"))
    assert "Being fetched" in configure(page, vm)
    host.work()
    assert "Download web01.protector" in configure(page, vm)
    got = page.get(address(vm, "vm-key-protector-file"))
    assert got.content == host.protectors[str(vm.pk)]
    assert got["Content-Disposition"] == 'attachment; filename="web01.protector"'
    changed = without(granted(got.content), lab())
    assert "Whoever is named in the file" in page.get(address(vm, "vm-key-protector-set")).content.decode()
    assert sending(page.post, address(vm, "vm-key-protector-set"), file(changed)).status_code == 303
    text = configure(page, vm)
    assert "Who can open the one that its host is taking over" in text
    assert "branch guardian signing" in text
    assert "which 1 guardian can open. This fabric" in text
    host.work()
    text = configure(page, vm)
    assert "Replaced" in text
    assert "lab guardian signing" not in text
    assert host.protectors[str(vm.pk)] == changed


def test_why_it_cannot_be_done_now_stands_at_the_step(cast: Cast, page: Client, vm: VirtualMachine) -> None:
    cast.host.state = HostState.UNKNOWN
    cast.host.save()
    text = configure(page, vm)
    assert text.count("Its host hv01 does not answer now.") >= 2
    assert f'href="{address(vm, "vm-key-protector-fetch")}"' not in text
    assert page.post(address(vm, "vm-key-protector-fetch")).status_code == 409


def test_a_failure_stands_on_the_page_with_its_advice(cast: Cast, page: Client, vm: VirtualMachine) -> None:
    job = fetch_key_protector(cast.as_owner, vm=vm)
    finish_job(job.pk, "failed", HostError("vm-state-old", "Its state is of an older version.", "Start it once."))
    text = configure(page, vm)
    assert "Its state is of an older version." in text
    assert "Start it once." in text


def test_a_download_of_nothing_leads_back_with_the_reason(page: Client, vm: VirtualMachine) -> None:
    answer = page.get(address(vm, "vm-key-protector-file"))
    assert (answer.status_code, answer["Location"]) == (302, address(vm, "vm-configure"))
    assert "it was not fetched since" in configure(page, vm)


def test_a_wrong_file_keeps_the_form_and_says_why(page: Client, vm: VirtualMachine, document: bytes) -> None:
    for content, said in (
        (b"no protector", "This is not a key protector that can be used."),
        (document, "The owner did not sign this key protector."),
    ):
        answer = page.post(address(vm, "vm-key-protector-set"), file(content))
        assert answer.status_code == 400
        assert said in answer.content.decode()
    assert page.post(address(vm, "vm-key-protector-set"), {}).status_code == 422


def test_others_find_nothing_there(cast: Cast, vm: VirtualMachine, document: bytes, client: Client) -> None:
    names = ("vm-configure", "vm-key-protector-file", "vm-key-protector-fetch", "vm-key-protector-set")
    assert {client.get(address(vm, name)).status_code for name in names} == {302}
    for user in (cast.other, cast.admin):
        client.force_login(user)
        assert {client.get(address(vm, name)).status_code for name in names} == {404}
        for name in names[2:]:
            assert client.post(address(vm, name), file(granted(document))).status_code == 404
    assert Job.objects.filter(kind__endswith="-protector").count() == 1


# --- REST


@pytest.fixture
def api(cast: Cast) -> dict[str, Any]:
    _, token = create_token(cast.as_owner, cast.owner, name="test")
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


def rest(vm: VirtualMachine, name: str = "vm-key-protector") -> str:
    return reverse(f"tenants-api:{name}", args=[vm.pk])


def test_the_whole_way_over_the_api(
    client: Client, api: Any, vm: VirtualMachine, host: PlayedHost, sending: Any
) -> None:
    shown = reverse("tenants-api:virtual-machine", args=[vm.pk])
    assert client.get(shown, **api).json()["key_protector"] is None
    begun = sending(client.post, rest(vm, "vm-key-protector-fetch"), **api)
    assert begun.status_code == 202
    assert begun["Location"] == begun.json()["job"]
    assert client.get(shown, **api).json()["key_protector"]["state"] == "exporting"
    host.work()
    assert client.get(begun.json()["job"], **api).json()["state"] == "succeeded"
    got = client.get(rest(vm), **api)
    digest = hashlib.sha256(got.content)
    assert got["Content-Type"] == "application/xml"
    assert got["ETag"] == f'"{digest.hexdigest()}"'
    assert got["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert got["Last-Modified"].endswith("GMT")
    kept = client.get(shown, **api).json()["key_protector"]
    assert (kept["state"], kept["sha256"], kept["problem"]) == ("exported", digest.hexdigest(), None)
    changed = granted(got.content)
    put = sending(client.put, rest(vm), changed, content_type="application/xml", **api)
    assert put.status_code == 202
    said = put.json()
    assert said["sha256"] == hashlib.sha256(changed).hexdigest()
    assert said["owner_fingerprint"] == owner().guardian.fingerprint
    expected = [one.guardian.fingerprint for one in (lab(), branch())]
    assert [one["fingerprint"] for one in said["guardians"]] == expected
    assert said["names_present_guardian"] is True
    host.work()
    found = client.get(shown, **api).json()
    assert [one["fingerprint"] for one in found["guardians"]] == expected
    assert found["key_protector"]["state"] == "replaced"
    assert client.get(rest(vm), **api).status_code == 404


@pytest.mark.parametrize("how", ["octets", "prefixed", "form"])
def test_a_changed_one_is_taken_in_each_form(
    client: Client, api: Any, vm: VirtualMachine, document: bytes, how: str
) -> None:
    changed = granted(document)
    if how == "form":
        from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

        sent, kind = encode_multipart(BOUNDARY, file(changed)), MULTIPART_CONTENT
    else:
        sent = with_length_prefix(changed) if how == "prefixed" else changed
        kind = "application/octet-stream"
    answer = client.put(rest(vm), sent, content_type=kind, **api)
    assert answer.status_code == 202
    assert answer.json()["sha256"] == hashlib.sha256(changed).hexdigest()


def test_refusals_are_problem_documents_with_advice(
    client: Client, api: Any, vm: VirtualMachine, host: PlayedHost
) -> None:
    nothing = client.get(rest(vm), **api)
    assert (nothing.status_code, nothing.json()["code"]) == (404, "protector-not-fetched")
    assert nothing.json()["advice"]
    sent = granted(host.protectors[str(vm.pk)])
    outdated = client.put(rest(vm), sent, content_type="application/xml", **api)
    assert (outdated.status_code, outdated.json()["code"]) == (409, "protector-outdated")
    wrong = client.put(rest(vm), b"<x/>", content_type="application/xml", **api)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "protector-invalid")
    assert client.put(rest(vm), b"{}", content_type="application/json", **api).status_code == 415
    long = b"x" * (PROTECTOR_MAX + 5)
    assert client.put(rest(vm), long, content_type="application/xml", **api).json()["code"] == "protector-invalid"
    client.post(rest(vm, "vm-key-protector-fetch"), **api)
    busy = client.get(rest(vm), **api)
    assert (busy.status_code, busy.json()["code"]) == (409, "protector-busy")


def test_what_is_far_too_large_is_refused_before_it_is_read(page: Client, vm: VirtualMachine) -> None:
    announced: dict[str, Any] = {"CONTENT_LENGTH": str(PROTECTOR_MAX * 2)}
    for method, url in (("PUT", rest(vm)), ("POST", address(vm, "vm-key-protector-set"))):
        assert page.generic(method, url, b"", "application/octet-stream", **announced).status_code == 413


def test_others_get_nothing_over_the_api(cast: Cast, vm: VirtualMachine, document: bytes, client: Client) -> None:
    def answers() -> set[int]:
        put = client.put(rest(vm), granted(document), content_type="application/xml")
        fetch = client.post(rest(vm, "vm-key-protector-fetch"))
        return {client.get(rest(vm)).status_code, put.status_code, fetch.status_code}

    assert answers() == {401}
    client.force_login(cast.other)
    assert answers() == {404}
    client.force_login(cast.admin)
    assert answers() <= {403, 404}
    assert Job.objects.filter(kind__endswith="-protector").count() == 1


def test_a_read_only_token_reads_and_changes_nothing(
    cast: Cast, vm: VirtualMachine, document: bytes, client: Client
) -> None:
    _, token = create_token(cast.as_owner, cast.owner, name="reader", read_only=True)
    api: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
    assert client.get(rest(vm), **api).status_code == 200
    assert client.put(rest(vm), granted(document), content_type="application/xml", **api).status_code == 403
    assert client.post(rest(vm, "vm-key-protector-fetch"), **api).status_code == 403
