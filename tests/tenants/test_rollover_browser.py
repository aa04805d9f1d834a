"""The key rollover in a real browser: from the banner to the last object, and how its pages look."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from fabric.commands.jobs import finish_job
from fabric.messages import HostError
from tenants.models import VirtualMachine
from tests.browsing import LOOKS, Open, look
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import branch, lab, stranger
from tests.portal.conftest import PASSWORD
from tests.portal.web.test_browser import browser, open_page  # noqa: F401
from tests.tenants.rolling import PlayedHost, hgs_has, regranted, upload, work_file

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
def vms(cast: Cast, host: PlayedHost, settings: Any, tmp_path: Path) -> Iterator[list[VirtualMachine]]:
    """Two VMs and their shielding data, made for the first keys of HGS, which has others now."""
    settings.LIBRARY_DIR = tmp_path / "library"
    with hgs_has(lab()):
        data = upload(cast, "Web servers")
        made = [host.make(cast, data, name) for name in ("web01", "web02")]
    host.sent.clear()
    with hgs_has(branch()):
        yield made


def test_the_whole_way_through_the_pages(
    open_page: Open,  # noqa: F811 - the fixture
    cast: Cast,
    vms: list[VirtualMachine],
    host: PlayedHost,
    tmp_path: Path,
) -> None:
    page: Page = open_page(cast.owner)
    page.goto("/virtual-machines/")
    expect(page.get_by_text("Outdated", exact=True).first).to_be_visible()
    banner = page.get_by_role("region", name="About this installation")
    expect(banner).to_contain_text("2 virtual machines and 1 shielding data file still name an older guardian")
    banner.get_by_role("link", name="Re-grant").click()
    expect(page.locator("#title-status")).to_contain_text("3 to re-grant")
    page.get_by_role("link", name="Fetch 2").click()
    page.get_by_role("button", name="Fetch").click()
    expect(page.get_by_text("Being fetched").first).to_be_visible()
    expect(page.get_by_text("2 key protectors are still being fetched.").first).to_be_visible()
    host.work()
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download rollover.zip with 3 objects").click(timeout=15_000)
    begun.value.save_as(tmp_path / "rollover.zip")
    (tmp_path / "rollover-done.zip").write_bytes(regranted((tmp_path / "rollover.zip").read_bytes()))
    page.get_by_role("link", name="Upload rollover-done.zip").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "rollover-done.zip")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("All 3 objects of the file are taken over")).to_be_visible()
    page.get_by_role("link", name="Back to the key rollover").click()
    expect(page.get_by_text("Being taken over").first).to_be_visible()
    host.work()
    expect(page.get_by_role("heading", name="Nothing to do")).to_be_visible(timeout=15_000)
    page.goto("/virtual-machines/")
    expect(page.get_by_text("Outdated", exact=True)).to_have_count(0)
    assert page.complaints == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_its_pages_are_accessible(
    open_page: Open,  # noqa: F811
    cast: Cast,
    vms: list[VirtualMachine],
    host: PlayedHost,
    size: tuple[int, int],
    scheme: str,
    tmp_path: Path,
) -> None:
    tag = f"{size[0]}-{scheme}"
    page = open_page(cast.owner, size=size, scheme=scheme)
    for name, address in (
        ("rollover", "/key-rollover/"), ("vms", "/virtual-machines/"), ("vm", f"/virtual-machines/{vms[0].pk}/"),
        ("files", "/shielding-data/"), ("file", f"/shielding-data/{vms[0].shielding_data_id}/"),
        ("fetch", "/key-rollover/fetch/"), ("upload", "/key-rollover/upload/"),
        ("guardian", "/shielding-data/guardian/"),
    ):  # fmt: skip
        page.goto(address)
        look(page, f"rollover-{name}-{tag}")
    page.goto("/key-rollover/fetch/")
    page.get_by_role("button", name="Fetch").click()
    expect(page.get_by_text("Being fetched").first).to_be_visible()
    look(page, f"rollover-fetching-{tag}")
    kwargs = next(kwargs for task, kwargs in host.sent if task == "host.export_protector")
    finish_job(
        kwargs["job_id"], "failed", HostError("vm-state-old", "Its state is of an older version.", "Start it once.")
    )
    host.sent = [(task, one) for task, one in host.sent if one != kwargs]
    host.work()
    page.goto("/key-rollover/")
    look(page, f"rollover-failed-{tag}")
    (tmp_path / "done.zip").write_bytes(regranted(work_file(cast.as_owner), None, stranger()))
    page.goto("/key-rollover/upload/")
    page.locator("input[type=file]").set_input_files(tmp_path / "done.zip")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("2 were not taken")).to_be_visible()
    look(page, f"rollover-results-{tag}")
    console = open_page(cast.admin, size=size, scheme=scheme)
    for name, address in (("overview", "/fabric/"), ("behind", "/fabric/key-rollover/")):
        console.goto(address)
        look(console, f"rollover-{name}-{tag}")
    assert page.complaints + console.complaints == []  # type: ignore[attr-defined]
