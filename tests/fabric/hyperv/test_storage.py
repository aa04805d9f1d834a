"""A host keeps only what it fetched whole and hashed itself."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from fabric.hyperv import storage
from fabric.hyperv.errors import LibraryError
from fabric.hyperv.storage import Content, LibraryAddress, LibraryCopies

DATA = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(DATA).hexdigest()
Answer = Callable[[httpx2.Request], httpx2.Response]


def copies(folder: Path, answer: Answer) -> LibraryCopies:
    return LibraryCopies(folder, LibraryAddress("http://portal.test", "token", httpx2.MockTransport(answer)))


def serving(data: bytes, **headers: str) -> Answer:
    return lambda _request: httpx2.Response(200, content=data, headers=headers)


def test_content_is_fetched_once_with_the_hosts_token(tmp_path: Path) -> None:
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, content=DATA)

    library = copies(tmp_path, answer)
    percents: list[int] = []
    assert library.fetch(SHA256, Content.CATALOG, percents.append).read_bytes() == DATA
    assert library.fetch(SHA256, Content.CATALOG).read_bytes() == DATA
    assert [(item.url.path, item.headers["authorization"]) for item in requests] == [
        (f"/library/v1/blobs/{SHA256}", "Bearer token")
    ]
    assert percents == sorted(percents)
    assert percents[-1] == 100


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (serving(DATA[:-1] + b"x"), "content-mismatch"),
        (serving(DATA[:-1]), "content-mismatch"),
        (lambda _request: httpx2.Response(404), "content-missing"),
        (lambda _request: httpx2.Response(401), "library-refused"),
        (lambda _request: httpx2.Response(302, headers={"location": "http://elsewhere.test/"}), "library-unreachable"),
        (lambda _request: httpx2.Response(500), "library-unreachable"),
        (lambda _request: httpx2.Response(200, content=iter([DATA])), "library-refused"),
        (serving(b"", **{"content-length": str(65 << 20)}), "content-too-large"),
    ],
)
def test_answer_that_is_not_the_content_leaves_nothing(tmp_path: Path, answer: Answer, code: str) -> None:
    with pytest.raises(LibraryError) as refused:
        copies(tmp_path, answer).fetch(SHA256, Content.CATALOG)
    assert refused.value.code == code
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_library_that_is_away_is_told_apart(tmp_path: Path) -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    with pytest.raises(LibraryError) as refused:
        copies(tmp_path, answer).fetch(SHA256, Content.CATALOG)
    assert refused.value.code == "library-unreachable"


def test_full_disk_is_seen_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = storage.shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(LibraryError) as refused:
        copies(tmp_path, serving(DATA)).fetch(SHA256, Content.CATALOG)
    assert refused.value.code == "disk-full"


def test_copies_that_nobody_used_for_long_are_removed(tmp_path: Path) -> None:
    library = copies(tmp_path, serving(DATA))
    path = library.fetch(SHA256, Content.CATALOG)
    assert library.evict(3600) == 0
    old = time.time() - 7200
    os.utime(path, (old, old))
    assert library.evict(3600, keep=[SHA256]) == 0
    assert library.evict(3600) == 1
    assert not path.exists()
