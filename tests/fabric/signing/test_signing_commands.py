"""Signing a template disk in the fabric: who may, what stops it, and how it goes on."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fabric.commands import jobs as fabric_jobs
from fabric.commands import signing_jobs, signing_work
from fabric.commands.signing import (
    begin_signing,
    cancel_signing,
    choose_disk,
    choose_signer,
    discard_signing,
    inspect_again,
    name_template,
    start_signing,
)
from fabric.commands.templates import retire_template
from fabric.commands.unsigned_disks import discard_disk, import_disk
from fabric.disks.catalog import parse_catalog
from fabric.models import BlobKind, LibraryBlob, SigningState, TemplateDisk, TemplateSigning, UnsignedDisk
from fabric.publishing import images
from fabric.publishing.signing import verify_template
from portal.accounts.models import User
from portal.kernel import jobs
from portal.kernel.errors import Conflict, Denied, Invalid
from portal.kernel.models import AuditEvent, JobState
from tests.cast import Cast
from tests.fabric.signing.conftest import IMPORTED, SIGNER, Worker, add_signer
from tests.fabric.template_disks import MEBIBYTE

pytestmark = pytest.mark.django_db
BOOT = "import/small-boot-certificate.pem"


def drafted(cast: Cast, disk: UnsignedDisk | None = None, version: str = "1.0.0.0") -> TemplateSigning:
    """A signing that only has to be started."""
    signing = begin_signing(cast.as_admin, signer=SIGNER)
    choose_disk(cast.as_admin, signing=signing, disk=disk, import_name="" if disk else IMPORTED)
    name_template(cast.as_admin, signing=signing, name="Small Linux", version=version)
    return signing


def now(signing: TemplateSigning) -> TemplateSigning:
    return TemplateSigning.objects.get(pk=signing.pk)


def published(signing: TemplateSigning) -> TemplateDisk:
    template = now(signing).template
    assert template is not None, now(signing).job and now(signing).job.error_message  # type: ignore[union-attr]
    return template


def brought(cast: Cast, path: Path, folders: Path) -> UnsignedDisk:
    boot = (folders / BOOT).read_bytes()
    return import_disk(cast.as_admin, file_name=path.name, disk=[path.read_bytes()], boot_certificate=boot)


def converted(folders: Path, form: str, *options: str) -> Path:
    out = folders / f"other.{form}"
    source = folders / "import" / IMPORTED
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, *options, source, out], check=True)
    return out


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Kill the worker at the first report of a step: like SIGKILL, it leaves no time to say anything."""

    def at(step: str) -> None:
        progress = jobs.progress

        def dying(job_id: Any, step_key: str, percent: int, message: str = "") -> bool:
            if step_key == step and percent < 100:
                raise SystemExit(9)
            return progress(job_id, step_key, percent, message)

        monkeypatch.setattr(jobs, "progress", dying)

    return at


def test_a_disk_of_the_import_folder_is_signed_and_published_by_who_asked(
    cast: Cast, worker: Worker, folders: Path
) -> None:
    signing = drafted(cast)
    worker.work()
    assert now(signing).inspected
    found = now(signing).inspection
    assert found is not None
    assert found["file_system"] == "ext4"
    assert [part["name"] for part in found["partitions"]]
    job = start_signing(cast.as_admin, signing=signing)
    assert now(signing).state == SigningState.SIGNING
    worker.work()
    template = published(signing)
    assert (template.name, template.version) == ("Small Linux", "1.0.0.0")
    assert template.published_by == cast.admin.username
    assert template.signer_fingerprint == now(signing).signer_fingerprint
    signed = parse_catalog(template.catalog.path.read_bytes()).verify()
    verify_template(template.disk.path, signed)
    assert template.disk.path.read_bytes() == (folders / "import" / IMPORTED).read_bytes()
    assert now(signing).result["roots"] == {volume.role.value: volume.root.hex() for volume in signed.catalog.volumes}
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
    assert not signing_work.folder_of(signing.pk).exists()
    events = list(AuditEvent.objects.order_by("sequence").values_list("event", flat=True))
    assert events == ["template-signing:begun", "template-signing:started", "template:published"]


@pytest.mark.parametrize(
    ("form", "options"), [("qcow2", ()), ("qcow2", ("-c",)), ("vpc", ("-o", "force_size=on")), ("vhdx", ())]
)
def test_every_container_is_published_as_one_that_hosts_read(
    cast: Cast, worker: Worker, folders: Path, form: str, options: tuple[str, ...]
) -> None:
    signing = drafted(cast, brought(cast, converted(folders, form, *options), folders))
    worker.work()
    start_signing(cast.as_admin, signing=signing)
    worker.work()
    template = published(signing)
    with template.disk.path.open("rb") as stream:
        assert stream.read(8) == b"vhdxfile"
    verify_template(template.disk.path, parse_catalog(template.catalog.path.read_bytes()).verify())


def test_a_raw_disk_that_was_uploaded_is_kept_once(cast: Cast, worker: Worker, folders: Path) -> None:
    disk = brought(cast, folders / "import" / IMPORTED, folders)
    assert disk.blob.kind == BlobKind.UNSIGNED_DISK
    signing = drafted(cast, disk)
    worker.work()
    start_signing(cast.as_admin, signing=signing)
    worker.work()
    assert published(signing).disk_id == disk.blob_id
    assert LibraryBlob.objects.get(pk=disk.blob_id).kind == BlobKind.TEMPLATE_DISK
    TemplateSigning.objects.filter(pk=signing.pk).update(disk=None)
    discard_disk(cast.as_admin, disk=disk)
    assert published(signing).disk.path.is_file()


def test_tenants_sign_and_import_nothing(cast: Cast, worker: Worker, folders: Path) -> None:
    signing = drafted(cast)
    for attempt in (
        lambda: begin_signing(cast.as_owner, signer=SIGNER),
        lambda: choose_disk(cast.as_owner, signing=signing, import_name=IMPORTED),
        lambda: choose_signer(cast.as_owner, signing=signing, signer=SIGNER),
        lambda: name_template(cast.as_owner, signing=signing, name="x", version="1.0.0.0"),
        lambda: inspect_again(cast.as_owner, signing=signing),
        lambda: start_signing(cast.as_owner, signing=signing),
        lambda: cancel_signing(cast.as_owner, signing=signing),
        lambda: discard_signing(cast.as_owner, signing=signing),
        lambda: import_disk(cast.as_owner, file_name="x", disk=[b"x"]),
    ):
        with pytest.raises(Denied):
            attempt()
    assert not TemplateSigning.objects.visible_to(cast.as_owner).exists()
    assert not UnsignedDisk.objects.visible_to(cast.as_owner).exists()


@pytest.mark.parametrize(
    ("name", "version", "field"),
    [("", "1.0.0.0", "name"), ("a/b", "1.0.0.0", "name"), ("ok", "1.0.0", "version"), ("ok", "1.0.0.65536", "version")],
)
def test_a_name_and_version_that_no_catalog_can_carry_are_refused_at_their_field(
    cast: Cast, worker: Worker, name: str, version: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        name_template(cast.as_admin, signing=drafted(cast), name=name, version=version)
    assert list(refused.value.fields) == [field]


def test_a_version_that_is_published_is_not_signed_again(cast: Cast, worker: Worker) -> None:
    first, second = drafted(cast), drafted(cast)
    worker.work()
    start_signing(cast.as_admin, signing=first)
    worker.work()
    with pytest.raises(Invalid, match="published already"):
        start_signing(cast.as_admin, signing=second)
    retire_template(cast.as_admin, template=published(first))
    start_signing(cast.as_admin, signing=now(second))


def test_a_cancelled_signing_goes_on_with_what_it_had_hashed(
    cast: Cast, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing = drafted(cast)
    worker.work()
    start_signing(cast.as_admin, signing=signing)
    monkeypatch.setattr(signing_jobs, "REPORT_SECONDS", 0.0)
    progress = jobs.progress
    cancelled: list[str] = []

    def cancel_once_some_is_hashed(job_id: Any, step: str, percent: int, message: str = "") -> bool:
        if step == "hash" and percent >= 60 and not cancelled:
            cancelled.append(message)
            cancel_signing(cast.as_admin, signing=now(signing))
        return progress(job_id, step, percent, message)

    monkeypatch.setattr(jobs, "progress", cancel_once_some_is_hashed)
    worker.work()
    assert cancelled
    assert now(signing).state == SigningState.STOPPED
    assert not TemplateDisk.objects.exists()
    kept = list(signing_work.folder_of(signing.pk).glob(".*.leaves"))
    assert [path.stat().st_size > 100 for path in kept] == [True]
    start_signing(cast.as_admin, signing=now(signing))
    begun = hashed_from(monkeypatch)
    worker.work()
    published(signing)
    assert max(begun) > 0


def hashed_from(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first block of each volume that is hashed from now on."""
    from fabric.publishing import signing as engine

    begun: list[int] = []
    hash_blocks = engine.hash_blocks

    def noted(*arguments: Any, first: int = 0) -> Any:
        begun.append(first)
        return hash_blocks(*arguments, first=first)

    monkeypatch.setattr(engine, "hash_blocks", noted)
    return begun


@pytest.mark.parametrize("step", ["convert", "hash", "publish"])
def test_a_job_whose_worker_was_killed_is_picked_up_and_ends_well(
    cast: Cast, worker: Worker, folders: Path, killed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    signing = drafted(cast, brought(cast, converted(folders, "qcow2"), folders))
    worker.work()
    start_signing(cast.as_admin, signing=signing)
    message = list(worker.waiting)
    killed(step)
    with pytest.raises(SystemExit):
        worker.work()
    monkeypatch.undo()
    assert now(signing).state == SigningState.SIGNING
    assert not TemplateDisk.objects.exists()
    worker.waiting = message
    worker.work()
    verify_template(published(signing).disk.path, parse_catalog(published(signing).catalog.path.read_bytes()).verify())


def test_a_signing_whose_worker_stays_away_is_lost_and_can_be_taken_up_again(
    cast: Cast, worker: Worker, killed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    signing = drafted(cast)
    worker.work()
    job = start_signing(cast.as_admin, signing=signing)
    killed("publish")
    with pytest.raises(SystemExit):
        worker.work()
    monkeypatch.undo()
    job.refresh_from_db()
    assert job.lease_until is not None
    assert fabric_jobs.reap_lost_jobs(job.lease_until.replace(year=job.lease_until.year + 1)) >= 1
    assert now(signing).state == SigningState.FAILED
    start_signing(cast.as_admin, signing=now(signing))
    worker.work()
    published(signing)


def test_a_message_that_comes_twice_signs_once(cast: Cast, worker: Worker) -> None:
    signing = drafted(cast)
    worker.work()
    start_signing(cast.as_admin, signing=signing)
    worker.waiting *= 2
    worker.work()
    assert TemplateDisk.objects.count() == 1
    assert now(signing).state == SigningState.PUBLISHED


def test_a_second_signing_waits_for_its_turn(cast: Cast, worker: Worker) -> None:
    signing = drafted(cast)
    worker.work()
    start_signing(cast.as_admin, signing=signing)
    with signing_work.turn() as mine:
        assert mine
        worker.work()
        assert now(signing).state == SigningState.SIGNING
        assert [task for task, _ in worker.waiting] == ["fabric.sign_template"]
    worker.work()
    published(signing)


def test_what_is_being_signed_cannot_be_changed(cast: Cast, worker: Worker) -> None:
    signing = drafted(cast)
    worker.work()
    start_signing(cast.as_admin, signing=signing)
    for attempt in (
        lambda: choose_disk(cast.as_admin, signing=signing, import_name=IMPORTED),
        lambda: name_template(cast.as_admin, signing=signing, name="other", version="1.0.0.0"),
        lambda: start_signing(cast.as_admin, signing=signing),
        lambda: discard_signing(cast.as_admin, signing=signing),
    ):
        with pytest.raises(Conflict, match="being signed"):
            attempt()
    stale = drafted(cast, version="2.0.0.0")
    worker.work()
    start_signing(cast.as_admin, signing=now(stale))
    with pytest.raises(Conflict, match="just"):
        choose_signer(cast.as_admin, signing=stale, signer=SIGNER)


def test_a_disk_that_was_not_looked_at_is_not_signed(cast: Cast, worker: Worker) -> None:
    signing = drafted(cast)
    with pytest.raises(Conflict) as refused:
        start_signing(cast.as_admin, signing=signing)
    assert refused.value.code == "not-inspected"
    worker.work()
    start_signing(cast.as_admin, signing=signing)
    worker.work()
    assert published(signing)


def test_a_qcow2_of_the_import_folder_cannot_be_exchanged_while_it_is_looked_at(
    cast: Cast, worker: Worker, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write there has it name another file as soon as it was found to name none."""
    mine = converted(folders, "qcow2", "-c").rename(folders / "import/mine.qcow2")
    shutil.copyfile(folders / "import/small-boot-certificate.pem", folders / "import/mine-boot-certificate.pem")
    secret = folders / "secret.raw"
    secret.write_bytes(b"secret of the worker".ljust(MEBIBYTE, b"."))
    other = folders / "other.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", other, str(40 * MEBIBYTE)], check=True
    )
    looked, check_image = [], images.check_image

    def exchanging(path: Path, container: images.Container) -> int:
        looked.append(length := check_image(path, container))
        shutil.copyfile(other, mine)
        return length

    monkeypatch.setattr(images, "check_image", exchanging)
    monkeypatch.setattr(signing_jobs, "check_image", exchanging)
    signing = begin_signing(cast.as_admin, signer=SIGNER)
    choose_disk(cast.as_admin, signing=signing, import_name=mine.name)
    name_template(cast.as_admin, signing=signing, name="Small Linux", version="1.0.0.0")
    worker.work()
    assert looked
    found = now(signing).inspection
    assert found is not None
    assert found["file_system"] == "ext4", "the disk that was checked is the one that is looked at"
    start_signing(cast.as_admin, signing=signing)
    worker.work()
    job = now(signing).job
    assert job is not None
    assert (job.state, job.error_code) == (JobState.FAILED, "disk-changed")


def test_a_disk_that_changed_since_it_was_looked_at_is_not_signed(cast: Cast, worker: Worker, folders: Path) -> None:
    signing = drafted(cast)
    worker.work()
    with (folders / "import" / IMPORTED).open("r+b") as stream:
        stream.seek(5 * MEBIBYTE)
        stream.write(b"changed")
    os.utime(folders / "import" / IMPORTED, ns=(1, 1))
    job = start_signing(cast.as_admin, signing=signing)
    worker.work()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (JobState.FAILED, "disk-changed")
    inspect_again(cast.as_admin, signing=now(signing))
    worker.work()
    start_signing(cast.as_admin, signing=now(signing))
    worker.work()
    published(signing)


def test_a_disk_that_cannot_be_a_template_says_why_and_is_not_signed(cast: Cast, worker: Worker, folders: Path) -> None:
    (folders / "import" / IMPORTED).write_bytes(bytes(4 * MEBIBYTE))
    signing = drafted(cast)
    worker.work()
    refusal = (now(signing).inspection or {})["refusal"]
    assert "no GUID partition table" in refusal["message"]
    with pytest.raises(Conflict, match="no GUID partition table"):
        start_signing(cast.as_admin, signing=now(signing))


def test_an_inspection_of_a_disk_that_is_chosen_no_longer_says_nothing(
    cast: Cast, worker: Worker, folders: Path
) -> None:
    signing = drafted(cast)
    late = list(worker.waiting)
    worker.waiting.clear()
    (folders / "import/bad.raw").write_bytes(bytes(MEBIBYTE))
    boot = (folders / BOOT).read_bytes()
    choose_disk(cast.as_admin, signing=signing, import_name="bad.raw", boot_certificate=boot)
    worker.waiting = late
    worker.work()
    assert now(signing).inspection is None


def test_another_certificate_under_the_same_name_does_not_sign(cast: Cast, worker: Worker, folders: Path) -> None:
    signing = drafted(cast)
    (folders / f"signers/{SIGNER}.pem").unlink()
    (folders / f"signers/{SIGNER}.key").unlink()
    add_signer(folders, "other")
    (folders / "signers/other.pem").rename(folders / f"signers/{SIGNER}.pem")
    (folders / "signers/other.key").rename(folders / f"signers/{SIGNER}.key")
    worker.work()
    job = start_signing(cast.as_admin, signing=signing)
    worker.work()
    job.refresh_from_db()
    assert job.error_code == "signer-changed"
    assert not TemplateDisk.objects.exists()


def test_rights_are_asked_again_when_it_is_published(cast: Cast, worker: Worker) -> None:
    signing = drafted(cast)
    worker.work()
    job = start_signing(cast.as_admin, signing=signing)
    User.objects.filter(pk=cast.admin.pk).update(role="tenant")
    worker.work()
    job.refresh_from_db()
    assert job.error_code == "fabric-admin-only"
    assert not TemplateDisk.objects.exists()


def test_a_boot_certificate_is_needed_and_must_be_one(cast: Cast, worker: Worker, folders: Path) -> None:
    (folders / BOOT).unlink()
    signing = begin_signing(cast.as_admin, signer=SIGNER)
    with pytest.raises(Invalid) as missing:
        choose_disk(cast.as_admin, signing=signing, import_name=IMPORTED)
    assert "boot_certificate" in missing.value.fields
    with pytest.raises(Invalid, match="not a certificate"):
        choose_disk(cast.as_admin, signing=signing, import_name=IMPORTED, boot_certificate=b"-----BEGIN nothing")


def test_a_disk_that_a_signing_names_is_not_discarded(cast: Cast, worker: Worker, folders: Path) -> None:
    disk = brought(cast, folders / "import" / IMPORTED, folders)
    signing = drafted(cast, disk)
    with pytest.raises(Conflict, match="names"):
        discard_disk(cast.as_admin, disk=disk)
    discard_signing(cast.as_admin, signing=signing)
    path = disk.blob.path
    discard_disk(cast.as_admin, disk=UnsignedDisk.objects.get())
    assert not path.exists()
    assert not UnsignedDisk.objects.exists()


def test_a_full_library_fails_the_job_with_the_reason_and_keeps_nothing_half_made(
    cast: Cast, worker: Worker, folders: Path, settings: Any
) -> None:
    signing = drafted(cast)
    settings.LIBRARY_MAX_BLOB_BYTES = MEBIBYTE
    worker.work()
    job = start_signing(cast.as_admin, signing=signing)
    worker.work()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (JobState.FAILED, "file-too-large")
    assert list((folders / "library/incoming").iterdir()) == []


def test_the_jobs_words_hold_no_path_of_a_key_and_no_passphrase(cast: Cast, worker: Worker, folders: Path) -> None:
    (folders / f"signers/{SIGNER}.passphrase").write_text("canary-passphrase\n")
    (folders / f"signers/{SIGNER}.passphrase").chmod(0o600)
    signing = drafted(cast)
    worker.work()
    job = start_signing(cast.as_admin, signing=signing)
    worker.work()
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    said = [*AuditEvent.objects.values_list("data", "summary"), job.error_message, job.error_details, job.result]
    assert "canary" not in repr(said)
    assert "PRIVATE KEY" not in repr(said)
