"""The page as a person has it: a file on disk, opened in a browser without a network."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Request

from hgs.keyprotection.metadata import serialise_metadata
from tenants.offline_page.build import FILE_NAME, bundle, join_page, offline_page
from tests.browsing import CHROMIUM, chromium
from tests.hgs.keyprotection.guardians import communications, lab
from tests.tenants.cli.conftest import catalog
from tests.tenants.offline_page.core import Core, owner_file
from tests.tenants.offline_page.walking import Walk

EXPOSING = Path(__file__).with_name("exposing.js")
BARE = (
    '<!DOCTYPE html><meta charset="utf-8"><title>core</title>'
    '<style>%STYLE%</style><script type="module">%SCRIPT%</script>%POLICY%'
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("needs Debian's chromium")
    with chromium() as started:
        yield started


@pytest.fixture
def requests() -> list[Request]:
    """Every request of the page of `walk`."""
    return []


@pytest.fixture
def walk(browser: Browser, tmp_path: Path, requests: list[Request]) -> Iterator[Walk]:
    """The built page, opened from disk; it may not complain, and the files a person would have lie beside it."""
    (tmp_path / FILE_NAME).write_bytes(offline_page().content)
    (tmp_path / "fabric-guardian.xml").write_bytes(serialise_metadata(lab().guardian, communications()))
    (tmp_path / "debian.vsc").write_bytes(catalog("Debian 12", "1.0.0.0"))
    (tmp_path / "owner.guardian").write_bytes(owner_file())
    context = browser.new_context(offline=True, accept_downloads=True, reduced_motion="reduce")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request))  # Playwright takes no built-in function
    page.goto((tmp_path / FILE_NAME).as_uri())
    yield Walk(page, tmp_path, complaints)
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def core(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    source = files("tenants.offline_page").joinpath("source")
    modules = {entry.name: entry.read_text() for entry in source.iterdir() if entry.name.endswith(".js")}
    script = bundle(modules | {EXPOSING.name: EXPOSING.read_text()}, EXPOSING.name)
    path = tmp_path_factory.mktemp("core") / "core.html"
    path.write_bytes(join_page(BARE, "", script).content)
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_function("globalThis.core !== undefined")
    yield Core(page)
    context.close()
