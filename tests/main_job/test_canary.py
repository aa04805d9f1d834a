"""The search for a secret finds it in every form it looks for."""

import base64
from pathlib import Path

import pytest

from tests.main_job.canary import places_with

SECRET = "canary-0123456789"


@pytest.mark.parametrize(
    "content",
    [
        SECRET.encode(),
        SECRET.encode()[::-1],
        SECRET.encode("utf-16-le"),
        SECRET.encode().hex().encode(),
        base64.b64encode(b"x" + SECRET.encode() + b"yz"),
        base64.b64encode(b"xy" + SECRET.encode() + b"z"),
        base64.b64encode(b"xyz" + SECRET.encode()),
    ],
)
def test_it_finds_the_secret_in_this_form(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"before" * 999 + content + b"after")
    assert places_with(SECRET, tmp_path) == {tmp_path / "deep" / "file"}


KEY = bytes(range(100, 132))


@pytest.mark.parametrize(
    "content", [KEY, KEY[::-1], KEY.hex().encode(), repr(KEY).encode(), base64.b64encode(b"xy" + KEY + b"z")]
)
def test_it_finds_a_key_in_this_form(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before" + content + b"after")
    assert places_with(KEY, tmp_path) == {tmp_path / "file"}


def test_it_finds_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"canary-of-somebody-else")
    assert places_with(SECRET, tmp_path) == set()
