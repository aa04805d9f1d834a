"""Template disks that were sent in parts: hashed by a worker, published whole or not at all, offered by their words."""

import hashlib
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from fabric.commands import publishing
from fabric.commands.publishing import begin_publishing, publish_uploaded
from fabric.commands.templates import describe_template, publish_template, retire_template
from fabric.commands.uploads import append_to_upload, arrived_upload, begin_upload, cancel_upload, sweep_uploads
from fabric.models import BlobKind, LibraryBlob, TemplateDisk, Upload
from fabric.selectors.template_disks import covered_by, use_of, versions_of
from portal.kernel import jobs
from portal.kernel.errors import Conflict, Denied, Invalid
from portal.kernel.models import Job
from tests.cast import Cast, make_shielding_data, make_template
from tests.tenants.test_shielding_data_upload import catalog

DISK = b"vhdxfile" + bytes(range(256)) * 5000


@pytest.fixture(autouse=True)
def own_library(settings: Any, tmp_path: Path) -> Path:
    settings.LIBRARY_DIR = tmp_path / "library"
    return tmp_path / "library" / "incoming"


@pytest.fixture(autouse=True)
def sent() -> Any:
    with patch("fabric.dispatch._send") as send:
        yield send


def arrived(cast: Cast, content: bytes = DISK, length: int | None = None) -> Upload:
    now = timezone.now()
    upload = begin_upload(cast.as_admin, kind=BlobKind.TEMPLATE_DISK, length=length or len(content), now=now)
    append_to_upload(cast.as_admin, upload=upload, offset=0, pieces=[content], now=now)
    return upload


def test_a_worker_publishes_what_has_arrived_and_nothing_is_left_of_the_upload(
    cast: Cast, own_library: Path, sent: Any, django_capture_on_commit_callbacks: Any
) -> None:
    upload = arrived(cast)
    with django_capture_on_commit_callbacks(execute=True):
        job = begin_publishing(cast.as_admin, catalog=catalog(), upload=upload, description="Small", family="Debian")
    task, arguments = sent.call_args.args[:2]
    assert (task, arguments) == (publishing.TASK, {"job_id": str(job.pk), "upload_id": str(upload.pk)})
    assert not TemplateDisk.objects.exists()
    publish_uploaded(job.pk, upload.pk)
    job.refresh_from_db()
    made = TemplateDisk.objects.get()
    assert (job.state, job.result) == ("succeeded", {"template": str(made.pk)})
    assert str(made.pk) == job.target_id
    assert (made.disk_id, made.disk.size) == (hashlib.sha256(DISK).hexdigest(), len(DISK))
    assert made.disk.path.read_bytes() == DISK
    assert (made.family, made.release, made.description) == ("Debian", "1.0.0.0", "Small")
    assert made.published_by == "fabric-admin"
    assert list(own_library.iterdir()) == []
    assert not Upload.objects.exists()


def test_a_message_that_comes_twice_publishes_once(cast: Cast) -> None:
    upload = arrived(cast)
    job = begin_publishing(cast.as_admin, catalog=catalog(), upload=upload)
    publish_uploaded(job.pk, upload.pk)
    publish_uploaded(job.pk, upload.pk)
    assert TemplateDisk.objects.count() == 1


def test_an_upload_that_is_worked_on_is_neither_changed_cancelled_nor_swept(cast: Cast) -> None:
    upload = arrived(cast)
    begin_publishing(cast.as_admin, catalog=catalog(), upload=upload)
    upload.refresh_from_db()
    for attempt in (
        lambda: cancel_upload(cast.as_admin, upload=upload),
        lambda: begin_publishing(cast.as_admin, catalog=catalog(), upload=upload),
        lambda: arrived_upload(cast.as_admin, upload.pk, BlobKind.TEMPLATE_DISK, timezone.now()),
    ):
        with pytest.raises(Conflict) as refused:
            attempt()
        assert refused.value.code == "upload-busy"
    assert sweep_uploads(upload.expires_at) == 0
    assert upload.path.exists()


def test_an_upload_is_not_cancelled_by_who_has_not_heard_of_its_job(cast: Cast) -> None:
    """Between finding an upload and dropping it, somebody may have begun to publish it."""
    upload = arrived(cast)
    begin_publishing(cast.as_admin, catalog=catalog(), upload=Upload.objects.get(pk=upload.pk))
    with pytest.raises(Conflict):
        cancel_upload(cast.as_admin, upload=upload)
    assert upload.path.exists()


def test_a_disk_whose_publishing_fails_in_the_database_need_not_arrive_again(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = arrived(cast)
    job = begin_publishing(cast.as_admin, catalog=catalog(), upload=upload)
    monkeypatch.setattr("fabric.commands.templates.audit.record", Mock(side_effect=DatabaseError))
    with pytest.raises(DatabaseError):
        publish_uploaded(job.pk, upload.pk)
    monkeypatch.undo()
    assert not TemplateDisk.objects.filter(pk=upload.pk).exists()
    assert upload.path.read_bytes() == DISK
    again = begin_publishing(cast.as_admin, catalog=catalog(), upload=upload)
    publish_uploaded(again.pk, upload.pk)
    assert TemplateDisk.objects.get(pk=upload.pk).disk.path.read_bytes() == DISK


def test_a_refused_disk_fails_its_job_and_stays_for_another_try(cast: Cast) -> None:
    upload = arrived(cast)
    job = begin_publishing(cast.as_admin, catalog=catalog(), upload=upload)
    publish_template(cast.as_admin, catalog=catalog(), disk=[DISK])
    publish_uploaded(job.pk, upload.pk)
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "template-exists")
    assert upload.path.read_bytes() == DISK
    again = begin_publishing(cast.as_admin, catalog=catalog("2.0.0.0"), upload=upload)
    publish_uploaded(again.pk, upload.pk)
    assert TemplateDisk.objects.filter(version="2.0.0.0").exists()


def test_somebody_who_lost_the_right_meanwhile_publishes_nothing(cast: Cast) -> None:
    upload = arrived(cast)
    job = begin_publishing(cast.as_admin, catalog=catalog(), upload=upload)
    type(cast.admin).objects.filter(pk=cast.admin.pk).update(role="tenant")
    publish_uploaded(job.pk, upload.pk)
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "fabric-admin-only")
    assert not TemplateDisk.objects.exists()


def test_a_job_that_was_ended_by_hand_stops_hashing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_SAY_EVERY", 0.0)
    upload = arrived(cast)
    job = begin_publishing(cast.as_admin, catalog=catalog(), upload=upload)

    def ended(job_id: Any, *_rest: Any) -> bool:
        jobs.fail(job_id, code="ended-by-operator", message="Ended.")
        return False

    monkeypatch.setattr(publishing.jobs, "progress", ended)
    publish_uploaded(job.pk, upload.pk)
    job.refresh_from_db()
    assert job.error_code == "ended-by-operator"
    assert not TemplateDisk.objects.exists()


def test_a_job_says_how_much_is_hashed_how_fast_and_how_long_it_takes(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_SAY_EVERY", 0.0)
    upload = arrived(cast)
    job = begin_publishing(cast.as_admin, catalog=catalog(), upload=upload)
    said: list[str] = []
    real = jobs.progress
    monkeypatch.setattr(publishing.jobs, "progress", lambda *all_: said.extend(all_[3:]) or real(*all_))
    publish_uploaded(job.pk, upload.pk)
    assert said[0].startswith("1 MiB of 1 MiB, ")
    assert "a second" in said[0]
    assert said[0].endswith("s left")


@pytest.mark.parametrize(
    ("kind", "length", "code"),
    [(BlobKind.SHIELDING_DATA, None, "upload-kind"), (None, len(DISK) + 1, "upload-incomplete")],
)
def test_only_a_whole_file_of_the_right_kind_is_taken(
    cast: Cast, kind: BlobKind | None, length: int | None, code: str
) -> None:
    upload = arrived(cast, length=length)
    with pytest.raises(Invalid) as refused:
        arrived_upload(cast.as_admin, upload.pk, kind or BlobKind.TEMPLATE_DISK, timezone.now())
    assert refused.value.code == code


def test_the_api_publishes_a_sent_disk_by_a_job(cast: Cast, client: Client, tmp_path: Path) -> None:
    upload = arrived(cast)
    client.force_login(cast.admin)
    (tmp_path / "c.vsc").write_bytes(catalog())
    url = reverse("fabric-api:template-disks")
    with (tmp_path / "c.vsc").open("rb") as file:
        answer = client.post(url, {"catalog": file, "upload": str(upload.pk), "family": "Debian", "release": "12"})
    assert answer.status_code == 202
    job = Job.objects.get()
    publish_uploaded(job.pk, upload.pk)
    made = client.get(f"{url}{client.get(answer['Location']).json()['result']['template']}/").json()
    assert (made["family"], made["release"], made["on_offer"]) == ("Debian", "12", True)
    assert [each["name"] for each in made["covered"]][:2] == ["partition table", "EFI system partition"]
    with (tmp_path / "c.vsc").open("rb") as file:
        assert client.post(url, {"catalog": file}).status_code == 400


def test_a_disk_is_offered_when_it_has_a_family_and_a_release(cast: Cast) -> None:
    made = publish_template(cast.as_admin, catalog=catalog(), disk=[DISK])
    offered = TemplateDisk.objects.visible_to(cast.as_owner)
    assert list(offered) == [made]
    for words in ({"family": "", "release": "12"}, {"family": "Debian", "release": " "}):
        describe_template(cast.as_admin, template=made, description="", **words)
        assert not offered.all().exists()
    describe_template(cast.as_admin, template=made, family=" Debian  GNU ", release="12", description="x")
    assert [disk.family for disk in offered.all()] == ["Debian GNU"]
    retire_template(cast.as_admin, template=made)
    assert not offered.all().exists()


@pytest.mark.parametrize("family", ["x" * 65, "Deb\u202eian", "a\x00b"])
def test_words_that_cannot_be_read_are_refused(cast: Cast, family: str) -> None:
    with pytest.raises(Invalid) as refused:
        describe_template(cast.as_admin, template=cast.template, family=family, release="1", description="")
    assert refused.value.code == "template-text"


def test_tenants_describe_no_template(cast: Cast, client: Client) -> None:
    with pytest.raises(Denied):
        describe_template(cast.as_owner, template=cast.template, family="x", release="1", description="")
    client.force_login(cast.owner)
    url = reverse("fabric-api:template-disk", args=[cast.template.pk])
    assert client.patch(url, {"family": "x"}, "application/json").status_code == 403
    assert client.get(reverse("fabric-api:template-usage", args=[cast.template.pk])).status_code == 404


def test_what_is_left_out_of_a_change_stays(cast: Cast, client: Client) -> None:
    client.force_login(cast.admin)
    url = reverse("fabric-api:template-disk", args=[cast.template.pk])
    assert client.patch(url, {"release": "12.1"}, "application/json").json()["family"] == "Debian"
    cast.template.refresh_from_db()
    assert (cast.template.family, cast.template.release) == ("Debian", "12.1")


def test_who_uses_a_disk_is_told_by_numbers(cast: Cast, client: Client) -> None:
    from tests.tenants.test_tenant_api import vm_of

    vm_of(cast)
    make_shielding_data(cast.other_subscription, "secret name of a file")
    make_shielding_data(cast.other_subscription, "trusts another", qualifiers=[])
    use = use_of(cast.template)
    assert (use.vms, use.waiting, [(each.host.name, each.vms) for each in use.hosts]) == (1, 0, [("hv01", 1)])
    assert use.trusting == {"contoso": 1, "fabrikam": 1}
    client.force_login(cast.admin)
    page = client.get(reverse("fabric:template", args=[cast.template.pk])).content.decode()
    assert "1 virtual machine on 1 host." in page
    assert "Subscription fabrikam: 1 shielding data file" in page
    assert "secret name of a file" not in page
    answer = client.get(reverse("fabric-api:template-usage", args=[cast.template.pk])).json()
    assert answer == {
        "vms": 1, "waiting": 0, "hosts": [{"host": "hv01", "vms": 1}], "files": 2,
        "trusting": {"contoso": 1, "fabrikam": 1},
    }  # fmt: skip


def test_versions_are_ordered_as_numbers_and_by_signer(cast: Cast) -> None:
    for version in ("1.10.0.0", "1.9.0.0"):
        make_template(version=version)
    make_template(version="9.0.0.0", signer="cd" * 32)
    assert [disk.version for disk in versions_of(cast.template)] == ["1.10.0.0", "1.9.0.0", "1.0.0.0"]


def test_a_catalog_that_cannot_be_read_empties_no_page(cast: Cast, client: Client) -> None:
    cast.template.catalog.path.unlink()
    assert covered_by(cast.template) == []
    client.force_login(cast.owner)
    page = client.get(reverse("tenants:template", args=[cast.template.pk]))
    assert page.status_code == 200
    assert "cannot be read from the library now" in page.content.decode()


def test_the_library_holds_a_disk_once_however_it_came(cast: Cast) -> None:
    publish_template(cast.as_admin, catalog=catalog(), disk=[DISK])
    upload = arrived(cast)
    job = begin_publishing(cast.as_admin, catalog=catalog("2.0.0.0"), upload=upload)
    publish_uploaded(job.pk, upload.pk)
    assert LibraryBlob.objects.filter(kind=BlobKind.TEMPLATE_DISK).count() == 1
    assert not upload.path.exists()
