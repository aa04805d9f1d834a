"""The library: what comes in, and which host gets what."""

import errno
import uuid
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from fabric import library
from fabric.commands import placements
from fabric.commands.hosts import register_host, rotate_host_token
from fabric.host_tokens import host_of
from fabric.models import BlobKind, Host, LibraryBlob, Placement
from portal.kernel.errors import Conflict, Denied, Invalid
from tests.cast import Cast, make_blob


@pytest.fixture(autouse=True)
def own_library(settings: object, tmp_path: Path) -> None:
    settings.LIBRARY_DIR = tmp_path / "library"  # type: ignore[attr-defined]


def place(cast: Cast, host: Host) -> Placement:
    placement = placements.reserve(
        uuid.uuid4(), name="vm", owner="contoso", template=cast.template, shielding_data=cast.shielding_data.blob,
        network=cast.network, vcpus=1, memory_mib=512, specialization={},
    )  # fmt: skip
    Placement.objects.filter(pk=placement.pk).update(host=host)
    return placement


def get(client: Client, sha256: str, token: str = "", **headers: str) -> tuple[int, bytes]:
    extra = {"authorization": f"Bearer {token}"} if token else {}
    answer = client.get(f"/library/v1/blobs/{sha256}", headers={**extra, **headers})
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
    return answer.status_code, content


def test_a_host_gets_the_files_of_its_vms_and_no_others(cast: Cast, client: Client) -> None:
    host, token = register_host(cast.as_admin, name="hv01")
    _, other_token = register_host(cast.as_admin, name="hv02")
    placement = place(cast, host)
    stray = make_blob(b"stray", BlobKind.TEMPLATE_DISK)
    assert get(client, cast.template.disk_id, token) == (200, b"disk debian 1.0.0.0")
    assert get(client, cast.template.catalog_id, token)[0] == 200
    assert get(client, cast.shielding_data.blob_id, token)[0] == 200
    assert get(client, stray.sha256, token)[0] == 404
    assert get(client, cast.template.disk_id, other_token)[0] == 404
    placements.release(placement.pk)
    assert get(client, cast.template.disk_id, token)[0] == 404


@pytest.mark.parametrize("token", ["", "x", "gfh_000000000000_wrong", "gf_abc_def", "gfh__", "gfh_" + "a" * 500])
def test_without_its_token_nobody_gets_anything(cast: Cast, client: Client, token: str) -> None:
    host, _ = register_host(cast.as_admin, name="hv01")
    place(cast, host)
    assert get(client, cast.template.disk_id, token)[0] == 401


def test_a_persons_session_opens_no_library(cast: Cast, client: Client) -> None:
    host, _ = register_host(cast.as_admin, name="hv01")
    place(cast, host)
    client.force_login(cast.admin)
    assert get(client, cast.template.disk_id)[0] == 401


@pytest.mark.parametrize(
    ("wanted", "status", "content"),
    [("bytes=5-", 206, b"debian 1.0.0.0"), ("bytes=0-3", 206, b"disk"), ("bytes=99-", 416, b""),
     ("bytes=-3", 200, b"disk debian 1.0.0.0"), ("bytes=0-1,3-4", 200, b"disk debian 1.0.0.0")],
)  # fmt: skip
def test_an_interrupted_download_goes_on_where_it_stopped(
    cast: Cast, client: Client, wanted: str, status: int, content: bytes
) -> None:
    host, token = register_host(cast.as_admin, name="hv01")
    place(cast, host)
    assert get(client, cast.template.disk_id, token, range=wanted) == (status, content)


def test_a_renewed_token_replaces_the_old_one_at_once(cast: Cast) -> None:
    host, token = register_host(cast.as_admin, name="hv01")
    renewed = rotate_host_token(cast.as_admin, host=host)
    assert host_of(token) is None
    assert host_of(renewed) == host
    assert renewed not in str(Host.objects.values().get())


def test_only_a_fabric_administrator_registers_a_host_and_only_once(cast: Cast) -> None:
    with pytest.raises(Denied):
        register_host(cast.as_owner, name="hv01")
    register_host(cast.as_admin, name="hv01")
    with pytest.raises(Conflict):
        register_host(cast.as_admin, name="hv01")
    with pytest.raises(Invalid):
        register_host(cast.as_admin, name="Host One")


def test_a_file_arrives_whole_or_not_at_all(cast: Cast, settings: object, tmp_path: Path) -> None:
    settings.LIBRARY_MAX_BLOB_BYTES = 10  # type: ignore[attr-defined]
    for chunks in ([b"12345", b"678901"], [b""]):
        with pytest.raises(Invalid), library.receive(chunks, BlobKind.TEMPLATE_DISK):
            pass
    with library.receive([b"12", b"34"], BlobKind.TEMPLATE_DISK) as received:
        blob = library.keep(received)
    with library.receive([b"1234"], BlobKind.TEMPLATE_DISK) as received:
        assert library.keep(received) == blob
    assert blob.path.read_bytes() == b"1234"
    assert LibraryBlob.objects.count() == 1
    assert blob.path.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (tmp_path / "library" / "incoming").iterdir()] == []


def test_a_storage_that_gives_a_file_one_name_keeps_it_all_the_same(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library.os, "link", Mock(side_effect=OSError(errno.EPERM, "Operation not permitted")))
    for _ in range(2):
        with library.receive([b"one name"], BlobKind.CATALOG) as received:
            assert library.keep(received).path.read_bytes() == b"one name"


def test_what_was_kept_for_nothing_is_swept_a_day_later(cast: Cast) -> None:
    with library.receive([b"used"], BlobKind.CATALOG) as received:
        used = library.keep(received)
    with library.receive([b"unused"], BlobKind.CATALOG) as received, transaction.atomic():
        unused = library.keep(received)
        transaction.set_rollback(True)
    now = timezone.now()
    assert library.sweep(now) == 0, "its transaction may not have ended"
    assert unused.path.exists()
    assert library.sweep(now + timedelta(days=2)) == 1
    assert (used.path.exists(), unused.path.exists()) == (True, False)
