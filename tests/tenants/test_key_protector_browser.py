"""One VM's key protector and the revocation notice in a real browser: the whole way, and how the pages look."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from fabric.commands.jobs import finish_job
from fabric.messages import HostError
from tenants.commands.key_protector import fetch_key_protector
from tenants.models import VirtualMachine
from tests.browsing import LOOKS, Open, look
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import lab
from tests.portal.conftest import PASSWORD
from tests.portal.web.test_browser import browser, open_page  # noqa: F401
from tests.tenants.fake_key_log import FakeKeyLog
from tests.tenants.rolling import PlayedHost, hgs_has, upload
from tests.tenants.test_key_protector import granted
from tests.tenants.test_revocation import altered, notice

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not Path("/usr/bin/chromium").exists(), reason="needs Debian's chromium"),
]


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    made = Cast()
    for user in (made.owner, made.admin):
        user.set_password(PASSWORD)
        user.save()
    return made


@pytest.fixture
def vm(cast: Cast, host: PlayedHost, settings: Any, tmp_path: Path) -> Iterator[VirtualMachine]:
    settings.LIBRARY_DIR = tmp_path / "library"
    with hgs_has(lab()):
        made = host.make(cast, upload(cast, "Web servers"))
        host.sent.clear()
        yield made


def test_the_whole_way_through_the_pages(
    open_page: Open,  # noqa: F811 - the fixture
    cast: Cast,
    vm: VirtualMachine,
    host: PlayedHost,
    tmp_path: Path,
) -> None:
    page: Page = open_page(cast.owner)
    page.goto(f"/virtual-machines/{vm.pk}/configure/")
    section = page.locator("#key-protector")
    expect(section).to_contain_text("lab guardian signing")
    section.get_by_role("link", name="Fetch").click()
    page.get_by_role("button", name="Fetch").click()
    expect(section).to_contain_text("Being fetched")
    host.work()
    with page.expect_download() as begun:
        section.get_by_role("link", name="Download web01.protector").click(timeout=15_000)
    begun.value.save_as(tmp_path / "web01.protector")
    (tmp_path / "web01-2.protector").write_bytes(granted((tmp_path / "web01.protector").read_bytes()))
    section.get_by_role("link", name="Upload changed one").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "web01-2.protector")
    page.get_by_role("button", name="Upload").click()
    expect(section).to_contain_text("Who can open the one that its host is taking over")
    host.work()
    expect(section.get_by_text("Replaced", exact=True)).to_be_visible(timeout=15_000)
    expect(section).to_contain_text("branch guardian signing")
    assert page.complaints == []  # type: ignore[attr-defined]


def test_a_notice_is_sent_from_the_account_of_keys(
    open_page: Open,  # noqa: F811
    cast: Cast,
    vm: VirtualMachine,
    key_log: FakeKeyLog,
    tmp_path: Path,
) -> None:
    (tmp_path / "notice.xml").write_bytes(notice())
    page = open_page(cast.owner)
    page.goto("/key-account/")
    page.get_by_role("link", name="Revoke…").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "notice.xml")
    page.get_by_role("button", name="Send the notice").click()
    expect(page.get_by_text("The notice names 2 key protectors. HGS newly refuses 2").first).to_be_visible()
    assert key_log.notices == [notice()]
    assert page.complaints == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_its_pages_are_accessible(
    open_page: Open,  # noqa: F811
    cast: Cast,
    vm: VirtualMachine,
    host: PlayedHost,
    key_log: FakeKeyLog,
    size: tuple[int, int],
    scheme: str,
    tmp_path: Path,
) -> None:
    tag, at = f"{size[0]}-{scheme}", f"/virtual-machines/{vm.pk}/"
    page = open_page(cast.owner, size=size, scheme=scheme)

    def see(name: str, address: str) -> None:
        page.goto(address)
        look(page, f"protector-{name}-{tag}")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name

    see("none", f"{at}configure/")
    see("fetch", f"{at}key-protector/fetch/")
    job = fetch_key_protector(cast.as_owner, vm=vm)
    see("fetching", f"{at}configure/")
    finish_job(job.pk, "failed", HostError("vm-state-old", "Its state is of an older version.", "Start it once."))
    host.sent.clear()
    see("failed", f"{at}configure/")
    fetch_key_protector(cast.as_owner, vm=VirtualMachine.objects.get())
    host.work()
    see("fetched", f"{at}configure/")
    (tmp_path / "changed").write_bytes(granted(host.protectors[str(vm.pk)]))
    see("upload", f"{at}key-protector/upload/")
    page.locator("input[type=file]").set_input_files(tmp_path / "changed")
    page.get_by_role("button", name="Upload").click()
    see("replacing", f"{at}configure/")
    host.work()
    see("replaced", f"{at}configure/")
    see("account", "/key-account/")
    see("revoke", "/key-account/revoke/")
    (tmp_path / "altered.xml").write_bytes(altered())
    page.locator("input[type=file]").set_input_files(tmp_path / "altered.xml")
    page.get_by_role("button", name="Send the notice").click()
    expect(page.get_by_text("was not signed by its owner").first).to_be_visible()
    look(page, f"protector-revoke-refused-{tag}")
    assert all("400" in complaint for complaint in page.complaints)  # type: ignore[attr-defined]
