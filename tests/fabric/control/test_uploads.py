"""Files sent in parts: what the tus 1.0.0 protocol promises a client, and what it gives nobody else."""

import base64
import hashlib
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from fabric import partial_files
from fabric.api import tus
from fabric.commands import uploads
from fabric.commands.uploads import AT_ONCE, append_to_upload, begin_upload, sweep_uploads
from fabric.models import BlobKind, LibraryBlob, Upload
from portal.accounts.commands import create_token
from portal.kernel.errors import Conflict, Denied, DomainError, Unavailable
from tests.cast import Cast

RAW = bytes(512) + b"EFI PART" + bytes(1000)
VHDX = b"vhdxfile" + bytes(2000)
PDK = b'<ShieldingData xmlns="urn:open-guarded-fabric:shielding-data:1" Version="1">' + b"x" * 3000


@pytest.fixture(autouse=True)
def own_library(settings: Any, tmp_path: Path) -> Path:
    settings.LIBRARY_DIR = tmp_path / "library"
    return tmp_path / "library" / "incoming"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Sender:
    """A tus client of one person, one request at a time."""

    def __init__(self, user: Any) -> None:
        self.http = Client()
        self.http.force_login(user)
        self.url = reverse("fabric-api:uploads")

    def create(self, length: object, kind: str = "shielding-data", **more: str) -> Any:
        metadata = f"kind {encoded(kind)},filename {encoded('web.pdk')}"
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(length), "Upload-Metadata": metadata, **more}
        answer = self.http.post(reverse("fabric-api:uploads"), headers=headers)
        if answer.status_code == 201:
            self.url = answer["Location"]
        return answer

    def head(self) -> Any:
        return self.http.head(self.url, headers={"Tus-Resumable": "1.0.0"})

    def patch(self, offset: object, data: bytes, content_type: str = tus.PIECE_TYPE, **more: str) -> Any:
        headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": str(offset), **more}
        return self.http.patch(self.url, data, content_type=content_type, headers=headers)

    def delete(self) -> Any:
        return self.http.delete(self.url, headers={"Tus-Resumable": "1.0.0"})


@pytest.fixture
def sender(cast: Cast) -> Sender:
    return Sender(cast.owner)


@pytest.fixture
def admin(cast: Cast) -> Sender:
    return Sender(cast.admin)


def test_a_server_says_what_it_can_do(sender: Sender) -> None:
    answer = sender.http.options(reverse("fabric-api:uploads"))
    assert answer.status_code == 204
    assert answer["Tus-Version"] == answer["Tus-Resumable"] == "1.0.0"
    assert answer["Tus-Extension"].split(",") == ["creation", "expiration", "termination", "checksum"]
    assert answer["Tus-Checksum-Algorithm"] == "sha256"
    assert int(answer["Tus-Max-Size"]) == 64 << 30


def test_a_file_arrives_in_parts_and_head_says_where_to_go_on(sender: Sender, own_library: Path) -> None:
    made = sender.create(len(PDK))
    assert made.status_code == 201
    assert made["Upload-Expires"].endswith("GMT")
    first = sender.patch(0, PDK[:100])
    assert (first.status_code, first["Upload-Offset"], first["Tus-Resumable"]) == (204, "100", "1.0.0")
    head = sender.head()
    assert (head.status_code, head["Upload-Offset"], head["Upload-Length"]) == (200, "100", str(len(PDK)))
    assert head["Cache-Control"] == "no-store"
    assert f"filename {encoded('web.pdk')}" in head["Upload-Metadata"]
    assert sender.patch(100, PDK[100:])["Upload-Offset"] == str(len(PDK))
    upload = Upload.objects.get()
    assert upload.path.read_bytes() == PDK
    assert upload.path.parent == own_library
    assert upload.path.stat().st_mode & 0o777 == 0o600
    assert not LibraryBlob.objects.exists()


@pytest.mark.parametrize("offset", [0, 99, 101, 2000])
def test_a_wrong_offset_is_a_conflict_and_changes_nothing(sender: Sender, offset: int) -> None:
    sender.create(len(PDK))
    sender.patch(0, PDK[:100])
    answer = sender.patch(offset, PDK[offset : offset + 10])
    assert answer.status_code == 409
    assert answer["Tus-Resumable"] == "1.0.0"
    assert "stands at byte 100" in answer.json()["detail"]
    assert sender.head()["Upload-Offset"] == "100"


def test_another_content_type_is_refused(sender: Sender) -> None:
    sender.create(len(PDK))
    assert sender.patch(0, PDK, content_type="application/octet-stream").status_code == 415
    assert sender.head()["Upload-Offset"] == "0"


def test_what_is_too_large_is_refused_before_anything_is_sent(sender: Sender) -> None:
    answer = sender.create((2 << 20) + 1)
    assert answer.status_code == 413
    assert "2 MiB" in answer.json()["detail"]
    assert not Upload.objects.exists()


def test_more_than_was_announced_is_refused(sender: Sender) -> None:
    sender.create(100)
    assert sender.patch(0, PDK[:101]).status_code == 413
    assert sender.head()["Upload-Offset"] == "0"


@pytest.mark.parametrize("length", ["", "-1", "1.5", "ten", "0"])
def test_a_length_that_is_none_is_refused(sender: Sender, length: str) -> None:
    assert sender.create(length).status_code == 400


@pytest.mark.parametrize("version", ["", "0.2.2"])
def test_another_version_of_the_protocol_is_refused_with_the_one_spoken(sender: Sender, version: str) -> None:
    answer = sender.create(100, **{"Tus-Resumable": version})
    assert (answer.status_code, answer["Tus-Version"]) == (412, "1.0.0")


def test_a_client_that_has_no_patch_says_so_by_post(sender: Sender) -> None:
    sender.create(len(PDK))
    headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    answer = sender.http.post(sender.url, PDK, content_type=tus.PIECE_TYPE, headers=headers)
    assert (answer.status_code, answer["Upload-Offset"]) == (204, str(len(PDK)))
    assert sender.http.post(sender.url, headers={"Tus-Resumable": "1.0.0"}).status_code == 405


def test_a_checksum_that_does_not_fit_is_told_and_nothing_is_kept(sender: Sender) -> None:
    sender.create(len(PDK))
    right = base64.b64encode(hashlib.sha256(PDK).digest()).decode()
    wrong = sender.patch(0, PDK[:-1] + b"y", **{"Upload-Checksum": f"sha256 {right}"})
    assert (wrong.status_code, sender.head()["Upload-Offset"]) == (460, "0")
    assert wrong.json()["status"] == 460
    assert sender.patch(0, PDK, **{"Upload-Checksum": f"md5 {right}"}).status_code == 400
    assert sender.patch(0, PDK, **{"Upload-Checksum": f"sha256 {right}"}).status_code == 204


def test_a_cancelled_upload_leaves_nothing(sender: Sender, own_library: Path) -> None:
    sender.create(len(PDK))
    sender.patch(0, PDK[:100])
    assert sender.delete().status_code == 204
    assert list(own_library.iterdir()) == []
    assert sender.head().status_code == 404
    assert sender.patch(100, PDK[100:]).status_code == 404


def test_somebody_elses_upload_does_not_exist(sender: Sender, cast: Cast) -> None:
    sender.create(len(PDK))
    for stranger in (Sender(cast.other), Sender(cast.admin)):
        stranger.url = sender.url
        assert {stranger.head().status_code, stranger.patch(0, PDK).status_code, stranger.delete().status_code} == {404}
        assert stranger.http.get(sender.url).status_code == 404
        assert stranger.http.get(reverse("fabric-api:uploads")).json() == []
    assert sender.head()["Upload-Offset"] == "0"
    nobody = Client()
    assert nobody.head(sender.url, headers={"Tus-Resumable": "1.0.0"}).status_code == 401


def test_an_expired_upload_is_gone_and_its_file_is_swept(sender: Sender, own_library: Path) -> None:
    sender.create(len(PDK))
    sender.patch(0, PDK[:100])
    now = timezone.now()
    Upload.objects.update(expires_at=now)
    answers = [sender.head(), sender.patch(100, PDK[100:]), sender.delete()]
    assert {answer.status_code for answer in answers} == {410}
    assert answers[1].json()["title"] == "Gone"
    assert sweep_uploads(now) == 1
    assert list(own_library.iterdir()) == []
    assert sender.head().status_code == 410
    sweep_uploads(now + timedelta(days=8))
    assert not Upload.objects.exists()


def test_each_piece_lets_an_upload_live_a_day_longer_but_not_for_ever(cast: Cast) -> None:
    now = timezone.now()
    upload = begin_upload(cast.as_owner, kind=BlobKind.SHIELDING_DATA, length=len(PDK), now=now)
    append_to_upload(cast.as_owner, upload=upload, offset=0, pieces=[PDK[:100]], now=now + timedelta(hours=20))
    upload.refresh_from_db()
    assert upload.expires_at == now + timedelta(hours=44)
    append_to_upload(
        cast.as_owner, upload=upload, offset=100, pieces=[PDK[100:200]], now=now + timedelta(days=6, hours=20)
    )
    upload.refresh_from_db()
    assert upload.expires_at == now + timedelta(days=7)


@pytest.mark.parametrize("start", [b"MZ", b"\x89PNG\r\n", b"<html>", b"<?xml version='1.0'?>", PDK[1:200]])
def test_a_wrong_file_is_refused_after_its_first_bytes_with_a_sentence(
    sender: Sender, own_library: Path, start: bytes
) -> None:
    sender.create(2 << 20)
    answer = sender.patch(0, start)
    assert answer.status_code == 400
    assert "does not begin like one" in answer.json()["detail"]
    assert list(own_library.iterdir()) == []
    assert sender.head().status_code == 404


@pytest.mark.parametrize(
    ("disk", "told_at"), [(b"MZ" + bytes(3000), 520), (bytes(4000), 520), (b"vhdxfilf" * 400, 520)]
)
def test_a_file_that_is_no_disk_is_refused_when_its_second_sector_is_here(
    admin: Sender, disk: bytes, told_at: int
) -> None:
    admin.create(len(disk), "template-disk")
    assert admin.patch(0, disk[:512]).status_code == 204
    answer = admin.patch(512, disk[512 : told_at + 1])
    assert answer.status_code == 400
    assert "neither a VHDX nor a raw disk" in answer.json()["detail"]


@pytest.mark.parametrize("disk", [RAW, VHDX])
def test_a_disk_may_come_byte_by_byte(admin: Sender, disk: bytes) -> None:
    admin.create(len(disk), "template-disk")
    for offset in range(0, len(disk), 37):
        assert admin.patch(offset, disk[offset : offset + 37]).status_code == 204
    assert Upload.objects.get().path.read_bytes() == disk


def test_a_file_too_short_to_be_a_disk_is_refused_when_it_is_whole(admin: Sender) -> None:
    admin.create(100, "template-disk")
    assert admin.patch(0, bytes(100)).status_code == 400


def test_who_may_not_publish_may_not_upload_a_disk(cast: Cast, sender: Sender, admin: Sender) -> None:
    assert sender.create(len(RAW), "template-disk").status_code == 403
    assert admin.create(len(PDK), "shielding-data").status_code == 403
    assert sender.create(100, "catalog").status_code == 403
    assert sender.create(100, "anything").status_code == 400
    with pytest.raises(Denied):
        begin_upload(cast.as_owner, kind=BlobKind.TEMPLATE_DISK, length=1, now=timezone.now())


def test_an_account_has_so_many_unfinished_uploads_at_once(sender: Sender, cast: Cast) -> None:
    for _ in range(AT_ONCE[BlobKind.SHIELDING_DATA]):
        assert sender.create(100).status_code == 201
    answer = sender.create(100)
    assert (answer.status_code, answer.json()["code"]) == (409, "too-many-uploads")
    assert Sender(cast.other).create(100).status_code == 201
    sender.delete()
    assert sender.create(100).status_code == 201


def test_room_is_set_aside_for_what_was_announced(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    free = uploads.SPARE_BYTES + 1000
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": free}))
    now = timezone.now()
    begin_upload(cast.as_admin, kind=BlobKind.TEMPLATE_DISK, length=600, now=now)
    with pytest.raises(Unavailable) as refused:
        begin_upload(cast.as_admin, kind=BlobKind.TEMPLATE_DISK, length=401, now=now)
    assert refused.value.code == "library-full"
    begin_upload(cast.as_admin, kind=BlobKind.TEMPLATE_DISK, length=400, now=now)


def test_a_full_storage_is_said_and_what_fitted_stays(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    sender.create(len(PDK))
    write = partial_files.os.pwrite

    def full_after_a_hundred(descriptor: int, data: memoryview, at: int) -> int:
        if at >= 100:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: 100 - at], at)

    with monkeypatch.context() as patched:
        patched.setattr(partial_files.os, "pwrite", full_after_a_hundred)
        answer = sender.patch(0, PDK)
    assert (answer.status_code, answer.json()["code"]) == (503, "library-full")
    assert sender.head()["Upload-Offset"] == "100"
    assert sender.patch(100, PDK[100:])["Upload-Offset"] == str(len(PDK))


def cut_off(pieces: list[bytes]) -> Iterator[bytes]:
    """A body whose connection breaks after these pieces."""
    yield from pieces


def test_what_came_before_a_connection_broke_is_kept(sender: Sender) -> None:
    sender.create(len(PDK))
    with patch("fabric.api.uploads._pieces", return_value=cut_off([PDK[:300]])):
        assert sender.patch(0, PDK)["Upload-Offset"] == "300"
    assert sender.head()["Upload-Offset"] == "300"
    assert sender.patch(300, PDK[300:])["Upload-Offset"] == str(len(PDK))
    assert Upload.objects.get().path.read_bytes() == PDK


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_breaks_in_the_middle_costs_what_was_under_way(
    live_server: Any, transactional_db: None
) -> None:
    cast = Cast()
    sender = Sender(cast.owner)
    sender.create(len(PDK))
    _, token = create_token(cast.as_owner, cast.owner, name="test")
    address = urlsplit(live_server.url)
    head = (
        f"PATCH {urlsplit(sender.url).path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: {tus.PIECE_TYPE}\r\n"
        f"Content-Length: {len(PDK)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), 10) as wire:
        wire.sendall(head.encode() + PDK[:1000])
        wire.shutdown(socket.SHUT_WR)
        wire.settimeout(10)
        while wire.recv(4096):
            pass
    assert sender.head()["Upload-Offset"] == "1000"
    assert sender.patch(1000, PDK[1000:])["Upload-Offset"] == str(len(PDK))
    assert Upload.objects.get().path.read_bytes() == PDK


def test_two_who_send_at_once_do_not_mix(cast: Cast) -> None:
    """Both begin at byte 0; whoever's second piece finds another offset is turned away, whole pieces only are kept."""
    now = timezone.now()
    upload = begin_upload(cast.as_admin, kind=BlobKind.TEMPLATE_DISK, length=len(VHDX), now=now)
    both = threading.Barrier(2)

    def pieces() -> Iterator[bytes]:
        both.wait(10)
        yield VHDX[:1000]
        yield VHDX[1000:]

    failures: list[DomainError] = []

    def send() -> None:
        try:
            offset = 0
            for piece in pieces():
                offset = partial_files.append(upload.path, offset, piece)
        except DomainError as error:
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    connection.close_if_unusable_or_obsolete()
    assert [error.code for error in failures] == ["upload-offset"]
    assert isinstance(failures[0], Conflict)
    assert upload.path.read_bytes() == VHDX


def test_a_token_that_may_only_read_sends_nothing(cast: Cast) -> None:
    _, token = create_token(cast.as_owner, cast.owner, name="reader", read_only=True)
    headers = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0", "Upload-Length": "100"}
    assert Client().post(reverse("fabric-api:uploads"), headers=headers).status_code == 403
    assert Client().get(reverse("fabric-api:uploads"), headers=headers).json() == []


def test_a_page_of_another_site_begins_nothing_in_a_persons_name(cast: Cast) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(cast.owner)
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "100", "Upload-Metadata": f"kind {encoded('shielding-data')}"}
    assert browser.post(reverse("fabric-api:uploads"), headers=headers).status_code == 403
    assert not Upload.objects.exists()


def test_a_senders_name_for_a_file_is_shown_and_names_no_path(cast: Cast) -> None:
    upload = begin_upload(
        cast.as_owner, kind=BlobKind.SHIELDING_DATA, length=1, now=timezone.now(),
        filename="../../etc/\u202epasswd\n",
    )  # fmt: skip
    assert upload.filename == "passwd"
    assert upload.path.name == f"{upload.pk}.part"


def test_files_that_no_row_speaks_for_are_swept_when_old(cast: Cast, own_library: Path) -> None:
    now = timezone.now()
    kept = begin_upload(cast.as_owner, kind=BlobKind.SHIELDING_DATA, length=1, now=now)
    (own_library / "tmpabc").write_bytes(b"half of a form")
    assert sweep_uploads(now) == 0
    Upload.objects.update(expires_at=now + timedelta(days=30))
    assert sweep_uploads(now + timedelta(days=8)) == 1
    assert [path.name for path in own_library.iterdir()] == [kept.path.name]
