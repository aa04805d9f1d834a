"""Signing over REST, and by the command line that uses it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from fabric.cli import template_in_portal
from fabric.cli.template import template
from fabric.models import SigningState, TemplateDisk, TemplateSigning, UnsignedDisk
from portal.cli import rest
from tests.cast import Cast
from tests.fabric.signing.conftest import IMPORTED, SIGNER, Worker
from tests.fabric.signing.test_signing_commands import BOOT, drafted

pytestmark = pytest.mark.django_db
SIGNINGS = "/api/v1/template-signings/"
WANTED = {"signer": SIGNER, "import_name": IMPORTED, "name": "Small Linux", "version": "1.0.0.0"}


@pytest.fixture
def client(cast: Cast, worker: Worker) -> Client:
    made = Client()
    made.force_login(cast.admin)
    return made


def post(client: Client, url: str, body: dict[str, Any] | None = None) -> Any:
    return client.post(url, body or {}, content_type="application/json")


def test_a_disk_is_signed_over_rest(client: Client, worker: Worker) -> None:
    begun = post(client, SIGNINGS, WANTED)
    assert begun.status_code == 202
    assert "/api/v1/jobs/" in begun["Location"]
    own = f"{SIGNINGS}{begun.json()['id']}/"
    worker.work()
    assert client.get(own).json()["inspection"]["file_system"] == "ext4"
    started = post(client, f"{own}start/")
    assert (started.status_code, started.json()["state"]) == (202, "signing")
    worker.work()
    done = client.get(own).json()
    assert done["state"] == "published"
    assert done["template"] == str(TemplateDisk.objects.get().pk)
    assert set(done["result"]["roots"]) >= {"operating-system"}
    assert client.delete(own).status_code == 409


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"signer": "nobody"}, 400, "signer"),
        ({"import_name": "../secret"}, 400, "disk"),
        ({"import_name": ""}, 400, "import_name"),
        ({"disk": "00000000-0000-4000-8000-000000000000"}, 400, "disk"),
        ({"version": "1"}, 400, "version"),
        ({"name": "a/b"}, 400, "name"),
        ({"boot_certificate": "no certificate"}, 400, "boot_certificate"),
    ],
)
def test_wrong_input_begins_nothing(client: Client, change: dict[str, str], status: int, field: str) -> None:
    answer = post(client, SIGNINGS, {**WANTED, **change})
    assert answer.status_code == status
    assert field in answer.json()["fields"]
    assert not TemplateSigning.objects.exists()


def test_a_signing_is_cancelled_and_gone_on_with(cast: Cast, client: Client, worker: Worker) -> None:
    own = f"{SIGNINGS}{drafted(cast).pk}/"
    assert post(client, f"{own}cancel/").status_code == 409
    assert post(client, f"{own}start/").json()["code"] == "not-inspected"
    worker.work()
    post(client, f"{own}start/")
    assert post(client, f"{own}start/").status_code == 409
    assert post(client, f"{own}cancel/").json()["state"] == "stopped"
    post(client, f"{own}start/")
    worker.work()
    assert TemplateSigning.objects.get().state == SigningState.PUBLISHED


def test_an_unsigned_disk_is_imported_and_discarded(client: Client, folders: Path) -> None:
    files = {
        "disk": SimpleUploadedFile("mine.raw", b"bytes"),
        "boot_certificate": SimpleUploadedFile("b.pem", (folders / BOOT).read_bytes()),
    }
    made = client.post("/api/v1/unsigned-disks/", files)
    assert made.status_code == 201
    assert made.json()["has_boot_certificate"] is True
    assert client.get("/api/v1/unsigned-disks/").json()["count"] == 1
    assert client.delete(f"/api/v1/unsigned-disks/{made.json()['id']}/").status_code == 204
    assert not UnsignedDisk.objects.exists()


def test_certificates_and_the_import_folder_are_listed_without_keys(client: Client) -> None:
    (signer,) = client.get("/api/v1/template-signers/").json()
    assert (signer["name"], signer["subject"], signer["problem"]) == (SIGNER, "CN=Signer laboratory", "")
    (file,) = client.get("/api/v1/import-folder/").json()
    assert (file["name"], file["has_boot_certificate"]) == (IMPORTED, True)


@pytest.mark.parametrize("address", ["unsigned-disks/", "template-signers/", "import-folder/", "template-signings/"])
def test_a_tenant_finds_none_of_it(cast: Cast, client: Client, address: str) -> None:
    client.force_login(cast.owner)
    assert client.get(f"/api/v1/{address}").status_code == 404
    assert post(client, f"/api/v1/{address}").status_code == 404
    assert not UnsignedDisk.objects.exists()


@pytest.fixture
def gf(client: Client, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line, speaking to this portal; the worker works whenever it waits."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        kind = request.headers.get("Content-Type", "")
        got = client.generic(request.method, request.url.raw_path.decode(), request.read(), content_type=kind)
        return httpx2.Response(got.status_code, content=got.content, headers=dict(got.headers))

    made = rest.RestClient.__init__

    def connected(self: rest.RestClient) -> None:
        made(self, rest.Connection("http://testserver", "token"), httpx2.MockTransport(answer))

    monkeypatch.setattr(rest.RestClient, "__init__", connected)
    monkeypatch.setattr(template_in_portal.time, "sleep", lambda _seconds: worker.work())

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(template, [str(item) for item in arguments])

    return run


def test_the_command_line_signs_an_imported_disk_to_the_end(gf: Callable[..., Result], folders: Path) -> None:
    made = gf("import", folders / "import" / IMPORTED, "--output", "json")
    assert made.exit_code == 0, made.output
    disk = str(UnsignedDisk.objects.get().pk)
    assert disk in gf("unsigned").output
    assert SIGNER in gf("signers").output
    named = ["--name", "Small Linux", "--version", "2.0.0.0"]
    done = gf("sign-in-portal", "--disk", disk, "--signer", SIGNER, *named)
    assert done.exit_code == 0, done.output
    assert "operating-system: " in done.output
    assert "published" in gf("signings").output
    assert TemplateDisk.objects.get().version == "2.0.0.0"


def test_the_command_line_says_why_a_disk_is_not_signed_and_leaves_no_draft(
    gf: Callable[..., Result], folders: Path
) -> None:
    (folders / "import" / IMPORTED).write_bytes(bytes(1 << 20))
    named = ["--name", "Small Linux", "--version", "2.0.0.0"]
    done = gf("sign-in-portal", "--disk", f"import:{IMPORTED}", "--signer", SIGNER, *named)
    assert done.exit_code != 0
    assert "no GUID partition table" in done.output
    assert not TemplateSigning.objects.exists()


def test_the_command_line_takes_a_cancelled_signing_up_again(
    gf: Callable[..., Result], cast: Cast, worker: Worker
) -> None:
    from fabric.commands.signing import start_signing

    signing = drafted(cast)
    worker.work()
    start_signing(cast.as_admin, signing=signing)
    assert "is stopped" in gf("cancel-signing", str(signing.pk)).output
    done = gf("sign-in-portal", "--resume", str(signing.pk))
    assert done.exit_code == 0, done.output
    assert TemplateDisk.objects.count() == 1
