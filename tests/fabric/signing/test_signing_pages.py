"""The wizard, step by step, without scripts."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from fabric.models import SigningState, TemplateDisk, TemplateSigning, UnsignedDisk
from portal.kernel.actor import Role
from portal.kernel.models import Job
from tests.cast import Cast, make_template, make_user
from tests.fabric.signing.conftest import IMPORTED, SIGNER, Worker
from tests.fabric.signing.test_signing_commands import BOOT, drafted

pytestmark = pytest.mark.django_db
NEW = "/fabric/template-signings/new/"


@pytest.fixture
def client(cast: Cast, worker: Worker) -> Client:
    made = Client()
    made.force_login(cast.admin)
    return made


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", response.content.decode())


def step(signing: TemplateSigning, name: str) -> str:
    return reverse(f"fabric:signing-{name}", args=[signing.pk])


def ask(client: Client, url: str, data: dict[str, Any]) -> str:
    """Post a step; the address it leads to."""
    answer = client.post(url, {"go": "next", **data})
    assert answer.status_code == 303, text(answer)
    return str(answer["Location"])


def test_the_wizard_leads_from_the_certificate_to_the_published_template(client: Client, worker: Worker) -> None:
    first = text(client.get(NEW))
    assert "whoever administers the fabric's machines can sign with it" in first.replace("&#x27;", "'")
    url = ask(client, NEW, {"signer": SIGNER})
    assert IMPORTED in text(client.get(url))
    url = ask(client, url, {"disk": f"import:{IMPORTED}"})
    url = ask(client, url, {"name": "Small Linux", "version": "1.0.0.0", "description": "For tests"})
    assert "is being inspected" in text(client.get(url))
    assert "not inspected yet" in text(client.get(url))
    worker.work()
    review = text(client.get(url))
    for word in ("ext4", "EFI/BOOT/BOOTX64.EFI", "no SSH host key", "CN=Boot", "Small Linux 1.0.0.0", "For tests"):
        assert word in review
    url = ask(client, url, {})
    assert "Hash every block that boots" in text(client.get(url))
    worker.work()
    done = client.get(url)
    assert done.status_code == 303
    summary = client.get(done["Location"])
    template = TemplateDisk.objects.get()
    for word in ("CN=Signer laboratory", "Root hash, operating-system", reverse("fabric:template", args=[template.pk])):
        assert word in text(summary)
    assert reverse("fabric:template-catalog", args=[template.pk]) in text(summary)


def test_back_keeps_what_was_typed(cast: Cast, client: Client) -> None:
    signing = drafted(cast)
    typed = {"name": "Half a na", "version": "1.0", "description": "later", "go": "back"}
    answer = client.post(step(signing, "name"), typed)
    assert answer["Location"] == step(signing, "disk")
    again = text(client.get(step(signing, "name")))
    assert 'value="Half a na"' in again
    assert 'value="1.0"' in again
    answer = client.post(step(signing, "disk"), {"go": "back"})
    assert answer["Location"] == step(signing, "certificate")
    assert re.search(f'value="{SIGNER}" checked', text(client.get(answer["Location"])))


def test_wrong_input_is_kept_and_explained_at_its_field(cast: Cast, client: Client) -> None:
    signing = drafted(cast)
    answer = client.post(step(signing, "name"), {"go": "next", "name": "fine", "version": "1.2.3.70000"})
    assert answer.status_code == 400
    assert "four numbers below 65536" in text(answer)
    assert 'value="1.2.3.70000"' in text(answer)
    answer = client.post(step(signing, "disk"), {"go": "next"})
    assert answer.status_code == 422
    assert "Choose a disk." in text(answer)


def test_the_next_version_of_a_template_is_one_click(cast: Cast, client: Client) -> None:
    for version in ("1.0.0.9", "1.0.0.10", "0.9.0.0"):
        make_template("Debian", version)
    make_template("Full", "1.0.65535.65535")
    signing = drafted(cast)
    assert "Debian 1.0.0.11" in text(client.get(step(signing, "name")))
    assert "Full 1.1.0.0" in text(client.get(step(signing, "name")))
    answer = client.post(step(signing, "name"), {"use": "Debian"})
    again = text(client.get(answer["Location"]))
    assert 'value="Debian"' in again
    assert 'value="1.0.0.11"' in again


def test_a_left_wizard_is_found_again_and_goes_on_where_it_was(cast: Cast, client: Client) -> None:
    signing = drafted(cast)
    link = reverse("fabric:signing", args=[signing.pk])
    assert link in text(client.get(NEW))
    assert client.get(link)["Location"] == step(signing, "review")
    assert step(signing, "review") in text(client.get("/fabric/template-signings/"))


def test_a_step_whose_turn_has_not_come_leads_to_the_one_that_has(client: Client) -> None:
    ask(client, NEW, {"signer": SIGNER})
    signing = TemplateSigning.objects.get()
    for name in ("name", "review", "generate", "summary"):
        answer = client.get(step(signing, name))
        assert answer["Location"] == step(signing, "disk")
        assert client.post(step(signing, name), {"go": "next"})["Location"] == step(signing, "disk")


def test_a_signing_is_cancelled_and_taken_up_again_from_the_page(cast: Cast, client: Client, worker: Worker) -> None:
    signing = drafted(cast)
    worker.work()
    ask(client, step(signing, "review"), {})
    assert step(signing, "cancel") in text(client.get(step(signing, "generate")))
    assert client.get(step(signing, "disk"))["Location"] == step(signing, "generate")
    answer = client.post(step(signing, "cancel"), follow=True)
    assert "Go on" in text(answer)
    assert TemplateSigning.objects.get().state == SigningState.STOPPED
    worker.work()
    assert not TemplateDisk.objects.exists()
    ask(client, step(signing, "generate"), {})
    assert Job.objects.filter(kind="sign-template").count() == 2
    worker.work()
    assert TemplateSigning.objects.get().state == SigningState.PUBLISHED
    assert client.get(step(signing, "disk"))["Location"] == step(signing, "summary")


def test_a_cancelled_signing_is_not_called_published_in_the_bar(cast: Cast, client: Client, worker: Worker) -> None:
    signing = drafted(cast)
    worker.work()
    ask(client, step(signing, "review"), {})
    client.post(step(signing, "cancel"))
    live = text(client.get("/fabric/live/"))
    assert "is signed and published" not in live
    assert "Cancelled: Sign Small Linux 1.0.0.0" in live


def test_a_disk_that_cannot_be_signed_says_why_on_the_review(
    cast: Cast, client: Client, worker: Worker, folders: Path
) -> None:
    (folders / "import" / IMPORTED).write_bytes(bytes(1 << 20))
    signing = drafted(cast)
    worker.work()
    page = text(client.get(step(signing, "review")))
    assert "no GUID partition table" in page
    assert "This disk cannot be signed." in page
    answer = client.post(step(signing, "review"), {"go": "next"})
    assert answer.status_code == 409
    assert ask(client, step(signing, "review"), {"go": "inspect"}) == step(signing, "review")
    assert "is being inspected" in text(client.get(step(signing, "review")))


def test_a_disk_uploaded_from_the_wizard_is_chosen(client: Client, folders: Path) -> None:
    ask(client, NEW, {"signer": SIGNER})
    signing = TemplateSigning.objects.get()
    files = {
        "disk": SimpleUploadedFile("mine.raw", (folders / "import" / IMPORTED).read_bytes()),
        "boot_certificate": SimpleUploadedFile("boot.pem", (folders / BOOT).read_bytes()),
    }
    answer = client.post(step(signing, "upload"), files)
    assert answer["Location"] == step(signing, "name")
    signing.refresh_from_db()
    assert signing.source == "mine.raw"
    assert "mine.raw" in text(client.get("/fabric/unsigned-disks/"))


def test_a_disk_is_discarded_unless_a_signing_names_it(cast: Cast, client: Client, folders: Path) -> None:
    files = {"disk": SimpleUploadedFile("mine.raw", b"anything")}
    assert client.post("/fabric/unsigned-disks/new/", files).status_code == 303
    disk = UnsignedDisk.objects.get()
    signing = drafted(cast)
    TemplateSigning.objects.update(disk=disk, import_name="")
    discard = f"/fabric/unsigned-disks/{disk.pk}/discard/"
    assert client.post(discard).status_code == 409
    assert client.post(step(signing, "discard")).status_code == 303
    assert client.post(discard).status_code == 303
    assert not UnsignedDisk.objects.exists()


@pytest.mark.parametrize(
    "value", ["upload:x", "upload:00000000-0000-4000-8000-000000000000", "import:../../etc/passwd"]
)
def test_a_disk_that_was_not_offered_is_refused(client: Client, value: str) -> None:
    ask(client, NEW, {"signer": SIGNER})
    answer = client.post(step(TemplateSigning.objects.get(), "disk"), {"go": "next", "disk": value})
    assert answer.status_code == 400
    assert TemplateSigning.objects.get().source == ""


def test_without_a_certificate_the_wizard_says_how_to_add_one(client: Client, folders: Path) -> None:
    for file in (folders / "signers").iterdir():
        file.unlink()
    page = text(client.get(NEW))
    assert "This fabric holds no signing certificate." in page
    assert "TEMPLATE_SIGNERS_DIR" in page
    assert client.post(NEW, {"go": "next", "signer": SIGNER}).status_code == 400
    assert not TemplateSigning.objects.exists()


def test_no_page_and_no_record_holds_a_key(cast: Cast, client: Client, folders: Path) -> None:
    key = (folders / f"signers/{SIGNER}.key").read_text().splitlines()[1]
    signing = drafted(cast)
    for url in (NEW, step(signing, "certificate"), step(signing, "review"), "/fabric/template-signings/"):
        assert key not in text(client.get(url))
    assert key not in repr(list(TemplateSigning.objects.values()))


def test_another_fabric_administrator_goes_on_with_it_and_a_tenant_finds_nothing(cast: Cast, client: Client) -> None:
    signing = drafted(cast)
    other = Client()
    other.force_login(make_user("second-admin", Role.FABRIC_ADMIN))
    assert other.get(step(signing, "name")).status_code == 200
    other.force_login(cast.owner)
    assert other.get(step(signing, "name")).status_code == 404
