"""Sending files in parts from a real browser: dropped, interrupted, gone on with, refused; and what axe says meanwhile.

With `GF_SCREENSHOTS=<folder>` every page looked at is also kept as a picture.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django_settings
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from fabric.commands.publishing import publish_uploaded
from fabric.commands.templates import publish_template
from fabric.commands.uploads import begin_upload
from fabric.models import BlobKind, TemplateDisk, Upload
from portal.kernel.models import Job
from tenants.models import ShieldingData
from tests.browsing import LOOKS, Open, chromium, look, needs_chromium, sign_in, windows
from tests.cast import Cast, make_template
from tests.hgs.keyprotection.guardians import lab
from tests.tenants.test_shielding_data_upload import catalog, hgs_is, pdk
from tests.tenants.test_tenant_api import vm_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    needs_chromium,
]
PIECE = 4 * 2**20
DISK_BYTES = 2 * PIECE + 12345
NEW_FILE = "/shielding-data/new/"
NEW_DISK = "/fabric/template-disks/new/"
DROP = """async ({name, base64}) => {
    const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, {lastModified: 1}));
    const zone = document.querySelector('.drop');
    for (const kind of ['dragenter', 'dragover', 'drop']) {
        zone.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: data}));
    }
}"""


@pytest.fixture(autouse=True)
def own_library(settings: Any, tmp_path: Path) -> None:
    settings.LIBRARY_DIR = tmp_path / "library"


@pytest.fixture(autouse=True)
def hgs() -> Iterator[None]:
    with hgs_is(lab()), patch("fabric.dispatch._send"):
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    made = Cast()
    made.subscription  # noqa: B018 - made when asked for
    return made


@pytest.fixture
def open_page(browser: Browser, live_server: LiveServer) -> Iterator[Open]:
    with windows(browser, live_server.url) as opened:

        def opener(user: Any, **how: Any) -> Page:
            page = opened(**how)
            sign_in(page, user, live_server.url)
            return page

        yield opener


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "small-linux.vhdx"
    path.write_bytes(b"vhdxfile" + os.urandom(DISK_BYTES - 8))
    return path


def drop(page: Page, name: str, content: bytes) -> None:
    import base64

    page.wait_for_selector(".drop")
    page.evaluate(DROP, {"name": name, "base64": base64.b64encode(content).decode()})


def line(page: Page) -> Any:
    return page.locator(".transfer-line")


def lose_pieces_after(page: Page, count: int) -> list[int]:
    """The connection breaks at every PATCH after the first `count`, until the list that is returned is emptied."""
    broken = [1]
    seen = 0

    def answer(route: Route) -> None:
        nonlocal seen
        if route.request.method == "PATCH":
            seen += 1
            if seen > count and broken:
                route.abort("connectionreset")
                return
        route.continue_()

    page.route("**/api/v1/uploads/**", answer)
    return broken


def test_a_dropped_file_is_sent_while_the_form_is_filled_in(open_page: Open, cast: Cast) -> None:
    page = open_page(cast.owner)
    page.goto(NEW_FILE)
    drop(page, "web servers.pdk", pdk(lab()))
    expect(line(page)).to_contain_text("It is there.")
    expect(page.get_by_label("Name")).to_have_value("web servers")
    assert not ShieldingData.objects.exists()
    page.get_by_label("Description").fill("For the shop")
    page.locator("#main").get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("web servers")
    kept = ShieldingData.objects.get()
    assert kept.blob.path.read_bytes() == pdk(lab())
    assert kept.description == "For the shop"
    assert not Upload.objects.exists()


def test_a_wrong_file_is_refused_at_once_and_the_right_one_can_follow(open_page: Open, cast: Cast) -> None:
    page = open_page(cast.owner)
    page.goto(NEW_FILE)
    drop(page, "photo.png", b"\x89PNG\r\n" + bytes(3000))
    expect(page.get_by_role("alert")).to_contain_text("This is not a shielding data file")
    drop(page, "big.pdk", bytes(2**21 + 1))
    expect(page.get_by_role("alert")).to_contain_text("at most 2.0 MiB are taken")
    drop(page, "web.pdk", pdk(lab()))
    expect(line(page)).to_contain_text("It is there.")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_error_in_the_form_keeps_the_file_that_was_sent(open_page: Open, cast: Cast) -> None:
    page = open_page(cast.owner)
    page.goto(NEW_FILE)
    drop(page, "web.pdk", pdk(lab()))
    expect(line(page)).to_contain_text("It is there.")
    page.get_by_label("Name").fill("!")
    page.locator("#main").get_by_role("button", name="Upload").click()
    expect(page.locator(".field-error:visible")).to_contain_text("begin with a letter")
    expect(line(page)).to_contain_text("It is there.")
    expect(page.locator(".transfer-name")).to_contain_text("web.pdk")
    page.get_by_label("Name").fill("web")
    page.locator("#main").get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("web")


def test_it_works_in_the_drawer(open_page: Open, cast: Cast) -> None:
    page = open_page(cast.owner)
    page.goto("/shielding-data/")
    page.locator("[data-open-drawer]").click()
    page.get_by_role("link", name="Shielding data", exact=True).last.click()
    page.get_by_role("link", name="Shielding data file").click()
    drop(page, "web.pdk", pdk(lab()))
    expect(line(page)).to_contain_text("It is there.")
    page.locator("#drawer-form").get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("web")


def test_a_lost_connection_is_found_again_without_anybody_doing_anything(
    open_page: Open, cast: Cast, disk: Path
) -> None:
    page = open_page(cast.admin)
    broken = lose_pieces_after(page, 1)
    page.goto(NEW_DISK)
    page.locator("input[type=file]").first.set_input_files(disk)
    expect(line(page)).to_contain_text("The connection was lost. Trying again in")
    assert Upload.objects.get().offset == PIECE
    broken.clear()
    expect(line(page)).to_contain_text("It is there.")
    assert Upload.objects.get().path.read_bytes() == disk.read_bytes()


def test_a_browser_that_was_offline_goes_on_when_it_is_online(open_page: Open, cast: Cast, disk: Path) -> None:
    page = open_page(cast.admin)
    page.goto(NEW_DISK)
    page.wait_for_selector(".drop")
    page.context.set_offline(True)
    page.locator("input[type=file]").first.set_input_files(disk)
    expect(line(page)).to_contain_text("The connection was lost.")
    page.context.set_offline(False)
    expect(line(page)).to_contain_text("It is there.")


def test_a_session_that_ends_meanwhile_costs_a_sign_in_and_nothing_else(
    open_page: Open, cast: Cast, disk: Path, live_server: LiveServer
) -> None:
    page = open_page(cast.admin)
    broken = lose_pieces_after(page, 1)
    page.goto(NEW_DISK)
    page.locator("input[type=file]").first.set_input_files(disk)
    expect(line(page)).to_contain_text("The connection was lost.")
    page.context.clear_cookies()
    broken.clear()
    expect(line(page)).to_contain_text("Your session has ended. Sign in in another tab, then resume.")
    sign_in(page, cast.admin, live_server.url)
    csrf = {"name": django_settings.CSRF_COOKIE_NAME, "value": "a" * 32, "url": live_server.url}
    page.context.add_cookies([csrf])  # type: ignore[list-item]  # signing in gives another one
    page.get_by_role("button", name="Resume").click()
    expect(line(page)).to_contain_text("It is there.")
    assert Upload.objects.get().path.read_bytes() == disk.read_bytes()


def test_after_a_reload_the_same_file_goes_on_where_it_stopped(open_page: Open, cast: Cast, disk: Path) -> None:
    page = open_page(cast.admin)
    broken = lose_pieces_after(page, 1)
    page.goto(NEW_DISK)
    page.locator("input[type=file]").first.set_input_files(disk)
    expect(line(page)).to_contain_text("The connection was lost.")
    page.reload()
    expect(line(page)).to_contain_text("Stopped at 4.0 MiB of 8.0 MiB. Choose the same file again to go on.")
    broken.clear()
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.headers.get("upload-offset", "")) if one.method == "PATCH" else None)
    page.locator("input[type=file]").first.set_input_files(disk)
    expect(line(page)).to_contain_text("It is there.")
    assert sent == [str(PIECE), str(2 * PIECE)]
    assert Upload.objects.get().path.read_bytes() == disk.read_bytes()


def test_what_was_begun_elsewhere_is_shown_and_can_be_forgotten(open_page: Open, cast: Cast) -> None:
    upload = begin_upload(
        cast.as_owner, kind=BlobKind.SHIELDING_DATA, length=100, now=timezone.now(), filename="other.pdk"
    )
    page = open_page(cast.owner)
    page.goto(NEW_FILE)
    expect(line(page)).to_contain_text("It was begun elsewhere")
    expect(page.locator(".transfer-name")).to_have_text("other.pdk, 100 bytes")
    expect(page.locator(".drop")).to_be_visible()
    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        page.get_by_role("button", name="Forget it").click()
    assert not Upload.objects.filter(pk=upload.pk).exists()


def test_an_upload_is_paused_resumed_and_cancelled(open_page: Open, cast: Cast, disk: Path) -> None:
    page = open_page(cast.admin)
    lose_pieces_after(page, 1)
    page.goto(NEW_DISK)
    page.locator("input[type=file]").first.set_input_files(disk)
    expect(line(page)).to_contain_text("The connection was lost.")
    page.get_by_role("button", name="Try now").click()
    expect(line(page)).to_contain_text("Trying again in 2 s")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".drop")).to_be_visible()
    expect(page.locator("[role=status]", has_text="cancelled")).to_have_count(1)
    page.wait_for_function("() => localStorage.getItem('gf-uploads') === '{}'")
    page.reload()
    expect(page.locator(".transfer")).to_be_hidden()
    assert not Upload.objects.exists()


def test_a_form_that_is_sent_too_early_goes_when_the_file_is_there(
    open_page: Open, cast: Cast, disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "small.vsc").write_bytes(catalog())
    page = open_page(cast.admin)
    broken = lose_pieces_after(page, 1)
    page.goto(NEW_DISK)
    page.locator("input[type=file]").first.set_input_files(disk)
    page.get_by_label("Volume signature catalog").set_input_files(tmp_path / "small.vsc")
    page.get_by_label("Family").fill("Debian")
    page.get_by_label("Release").fill("12")
    expect(line(page)).to_contain_text("The connection was lost.")
    page.locator("#main").get_by_role("button", name="Publish").click()
    broken.clear()
    expect(page.get_by_role("heading", level=1)).to_have_text("Publish Debian 12 1.0.0.0")
    job = Job.objects.get()
    publish_uploaded(job.pk, Upload.objects.get().pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.error_message
    expect(page.locator(".notice-done")).to_contain_text("Template disk Debian 12 1.0.0.0 was published.")
    made = TemplateDisk.objects.get()
    assert (made.family, made.release, made.is_on_offer) == ("Debian", "12", True)
    assert made.disk.path.read_bytes() == disk.read_bytes()


def test_without_scripts_the_file_goes_with_the_form(open_page: Open, cast: Cast, tmp_path: Path) -> None:
    (tmp_path / "web.pdk").write_bytes(pdk(lab()))
    page = open_page(cast.owner, scripts=False)
    page.goto(NEW_FILE)
    page.get_by_label("Shielding data file").set_input_files(tmp_path / "web.pdk")
    page.get_by_label("Name").fill("scriptless")
    page.locator("#main").get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("scriptless")


def shown(page: Page, name: str, url: str) -> None:
    page.goto(url)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    look(page, name)
    over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert over <= 0, f"{name} scrolls sideways by {over} px"


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_pages_of_files_and_templates_are_accessible(
    open_page: Open, cast: Cast, disk: Path, size: tuple[int, int], scheme: str
) -> None:
    tag = f"{size[0]}-{scheme}"
    for version in ("1.2.0.0", "1.10.0.0"):
        make_template(version=version)
    TemplateDisk.objects.create(
        name="bare", version="1.0.0.0", catalog=cast.template.catalog, disk=cast.template.disk,
        signer_fingerprint="cd" * 32, published_by="fabric-admin",
    )  # fmt: skip
    vm_of(cast)
    signed = publish_template(cast.as_admin, catalog=catalog(), disk=[b"vhdxfile"], family="Debian", release="12")
    page = open_page(cast.owner, size=size, scheme=scheme)
    data = ShieldingData.objects.get()
    shown(page, f"files-{tag}", "/shielding-data/")
    shown(page, f"file-{tag}", reverse("tenants:shielding-data-file", args=[data.pk]))
    shown(page, f"file-describe-{tag}", reverse("tenants:shielding-data-describe", args=[data.pk]))
    shown(page, f"templates-{tag}", "/shielding-data/templates/")
    shown(page, f"template-{tag}", reverse("tenants:template", args=[signed.pk]))
    shown(page, f"upload-{tag}", NEW_FILE)
    drop(page, "photo.png", b"\x89PNG\r\n" + bytes(3000))
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, f"upload-refused-{tag}")
    page = open_page(cast.admin, size=size, scheme=scheme)
    shown(page, f"fabric-templates-{tag}", "/fabric/template-disks/")
    shown(page, f"fabric-template-{tag}", reverse("fabric:template", args=[cast.template.pk]))
    shown(page, f"fabric-template-signed-{tag}", reverse("fabric:template", args=[signed.pk]))
    shown(page, f"fabric-template-describe-{tag}", reverse("fabric:template-describe", args=[cast.template.pk]))
    lose_pieces_after(page, 1)
    shown(page, f"fabric-template-new-{tag}", NEW_DISK)
    page.locator("input[type=file]").first.set_input_files(disk)
    expect(line(page)).to_contain_text("The connection was lost.")
    look(page, f"fabric-template-sending-{tag}")
    assert urlsplit(page.url).path == NEW_DISK
