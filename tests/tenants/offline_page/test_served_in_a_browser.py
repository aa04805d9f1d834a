"""The page as a tenant meets it in the portal: found in the list, saved, looked at, used."""

from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from fabric.shielding.pdk import open_pdk, parse_pdk
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.protector import unwrap
from portal.kernel.errors import Unavailable
from tenants.offline_page.build import FILE_NAME, offline_page
from tests.browsing import LOOKS, WIDE, look
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import communications, lab
from tests.tenants.cli.conftest import catalog
from tests.tenants.offline_page.walking import Walk

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def hgs_is_away() -> Iterator[None]:
    away = Unavailable("hgs-unavailable", "HGS does not answer.")
    with patch("fabric.selectors.guardian.guardian_metadata", side_effect=away):
        yield


@pytest.fixture
def open_page(browser: Browser, live_server: LiveServer, transactional_db: None) -> Iterator[Open]:
    contexts = []
    client = Client()
    client.force_login(Cast().owner)
    session = {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value}

    def opener(*, size: tuple[int, int] = WIDE, scheme: str = "light") -> Page:
        context = browser.new_context(
            base_url=live_server.url,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            accept_downloads=True,
        )
        context.add_cookies([{**session, "url": live_server.url}])  # type: ignore[list-item]
        contexts.append(context)
        return context.new_page()

    yield opener
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_the_list_of_shielding_data_offers_it(open_page: Open, size: tuple[int, int], scheme: str) -> None:
    page = open_page(size=size, scheme=scheme)
    page.goto(reverse("tenants:shielding-data"))
    guide = page.get_by_text("How to make shielding data")
    if not page.get_by_role("link", name="Download the page").is_visible():
        guide.click()
    page.get_by_role("link", name="Download the page").scroll_into_view_if_needed()
    look(page, f"offline-offered-{size[0]}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_tenant_saves_the_published_file(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.goto(reverse("tenants:shielding-data"))
    if not page.get_by_role("link", name="Download the page").is_visible():
        page.get_by_text("How to make shielding data").click()
    with page.expect_download() as started:
        page.get_by_role("link", name="Download the page").click()
    assert started.value.suggested_filename == FILE_NAME
    started.value.save_as(tmp_path / FILE_NAME)
    assert (tmp_path / FILE_NAME).read_bytes() == offline_page().content


def test_the_served_page_works_in_an_origin_of_its_own_and_asks_the_portal_for_nothing(
    open_page: Open, tmp_path: Path
) -> None:
    (tmp_path / "metadata.xml").write_bytes(serialise_metadata(lab().guardian, communications()))
    (tmp_path / "debian.vsc").write_bytes(catalog("Debian 12", "1.0.0.0"))
    page = open_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(reverse("tenants:offline-page"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(page.get_by_text("You opened this page from a server.")).to_be_visible()
    assert page.evaluate("self.origin") == "null"
    walk = Walk(page, tmp_path)
    walk.make_owner()
    walk.add_guardian(tmp_path / "metadata.xml", communications().fingerprint)
    walk.add_catalog(tmp_path / "debian.vsc")
    walk.set_password()
    pdk = parse_pdk(walk.make("web.pdk").read_bytes())
    assert open_pdk(pdk, unwrap(pdk.protector, lab())).ssh_host_key is not None
    assert [url for url in asked if not url.startswith("blob:")] == []
    assert complaints == []
