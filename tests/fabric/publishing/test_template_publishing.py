"""`gf template publish`, `list` and `catalog` speak the portal's REST API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fabric.cli.template import template
from fabric.disks.blocks import block_count
from fabric.disks.catalog import Catalog, Role, Volume, sign_catalog
from fabric.publishing.certificates import self_signed
from portal.cli import rest

ROW = {"id": "7", "name": "My template", "version": "1.0.0.0", "signer_subject": "CN=P", "state": "active"}
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def catalog() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = self_signed("P", key, 1, datetime.now(UTC)).public_bytes(serialization.Encoding.DER)
    volumes = tuple(
        Volume(role, index * MEBIBYTE, MEBIBYTE, (bytes(32),) * block_count(MEBIBYTE))
        for index, role in enumerate(Role)
    )
    return sign_catalog(Catalog("My template", "1.0.0.0", 4 * MEBIBYTE, certificate, certificate, volumes), key)


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[httpx2.Request], httpx2.Response]], None]:
    monkeypatch.setenv("GF_URL", "http://portal.test")
    monkeypatch.setenv("GF_TOKEN", "token")
    original = rest.RestClient

    def answer(reply: Callable[[httpx2.Request], httpx2.Response]) -> None:
        monkeypatch.setattr(rest, "RestClient", lambda: original(transport=httpx2.MockTransport(reply)))

    return answer


def invoke(*arguments: Any) -> str:
    done = CliRunner().invoke(template, [str(item) for item in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_templates_are_listed(portal: Any) -> None:
    portal(lambda _request: httpx2.Response(200, json={"results": [ROW], "next": None}))
    assert "My template" in invoke("list")


def test_a_fetched_catalog_is_checked(portal: Any, catalog: bytes, tmp_path: Path) -> None:
    portal(lambda _request: httpx2.Response(200, content=catalog))
    assert "My template 1.0.0.0" in invoke("catalog", "7", "--out", tmp_path / "t.vsc")
    portal(lambda _request: httpx2.Response(200, content=catalog.replace(b"My template", b"My Template")))
    with pytest.raises(Exception, match="changed after it was signed"):
        invoke("catalog", "7", "--out", tmp_path / "t.vsc")
