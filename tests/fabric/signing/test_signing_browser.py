"""The wizard in a real browser: what axe says of each step, the keyboard's way through, and the job as it goes on.

With `GF_SCREENSHOTS=<folder>` every page looked at is also kept as a picture.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from fabric.commands.signing import cancel_signing, start_signing
from fabric.models import SigningState, TemplateSigning
from portal.kernel import jobs
from tests.browsing import LOOKS, Open, chromium, look_at, needs_chromium, sign_in, windows
from tests.cast import Cast, make_template
from tests.fabric.signing.conftest import IMPORTED, SIGNER, Worker
from tests.fabric.signing.test_signing_commands import drafted
from tests.fabric.signing.test_signing_pages import NEW, step

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    needs_chromium,
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return Cast()


@pytest.fixture
def open_page(browser: Browser, live_server: LiveServer, cast: Cast) -> Iterator[Open]:
    with windows(browser, live_server.url) as opened:

        def opener(**how: Any) -> Page:
            page = opened(**how)
            sign_in(page, cast.admin, live_server.url)
            return page

        yield opener


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_step_is_accessible(
    open_page: Open, cast: Cast, worker: Worker, folders: Path, size: tuple[int, int], scheme: str
) -> None:
    tag = f"{size[0]}-{scheme}"
    page = open_page(size=size, scheme=scheme)
    make_template("Small Linux", "1.0.0.7")
    (folders / "signers/keyless.pem").write_bytes((folders / f"signers/{SIGNER}.pem").read_bytes())
    signing = drafted(cast)
    look_at(page, f"signing-1-certificate-{tag}", NEW)
    look_at(page, f"signing-2-disk-{tag}", step(signing, "disk"))
    look_at(page, f"signing-3-name-{tag}", step(signing, "name"))
    look_at(page, f"signing-4-inspecting-{tag}", step(signing, "review"))
    worker.work()
    look_at(page, f"signing-4-review-{tag}", step(signing, "review"))
    job = start_signing(cast.as_admin, signing=signing)
    jobs.progress(job.pk, "hash", 42, "1.7 of 4.0 GB, 850 MB/s, 3 s left")
    look_at(page, f"signing-5-generate-{tag}", step(signing, "generate"))
    cancel_signing(cast.as_admin, signing=TemplateSigning.objects.get(pk=signing.pk))
    look_at(page, f"signing-5-stopped-{tag}", step(signing, "generate"))
    look_at(page, f"signing-list-{tag}", "/fabric/template-signings/")
    start_signing(cast.as_admin, signing=TemplateSigning.objects.get(pk=signing.pk))
    worker.work()
    look_at(page, f"signing-6-summary-{tag}", step(signing, "summary"))
    look_at(page, f"signing-unsigned-{tag}", "/fabric/unsigned-disks/new/")


def test_a_disk_is_signed_by_the_keyboard_and_each_page_goes_on_by_itself(
    open_page: Open, cast: Cast, worker: Worker
) -> None:
    page = open_page()
    page.goto(NEW)
    page.get_by_label(SIGNER, exact=True).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.get_by_label(IMPORTED).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.get_by_label("Name", exact=True).fill("Small Linux")
    page.get_by_label("Version").fill("1.0.0.0")
    page.keyboard.press("Enter")
    sign = page.get_by_role("button", name="Sign and publish")
    expect(sign).to_be_disabled()
    worker.work()
    expect(sign).to_be_enabled()
    expect(page.get_by_text("ext4")).to_be_visible()
    sign.click()
    expect(page.get_by_role("link", name="Cancel")).to_be_visible()
    worker.work()
    expect(page.get_by_role("heading", name="Signed and published")).to_be_visible()
    expect(page).to_have_url(page.url.replace("generate", "summary"))
    page.get_by_role("link", name="To the template").click()
    expect(page.get_by_role("heading", level=1, name="Small Linux 1.0.0.0")).to_be_visible()


def test_a_signing_is_cancelled_and_taken_up_again_without_scripts(open_page: Open, cast: Cast, worker: Worker) -> None:
    signing = drafted(cast)
    worker.work()
    page = open_page(scripts=False)
    page.goto(step(signing, "review"))
    page.get_by_role("button", name="Sign and publish").click()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel the signing").click()
    page.get_by_role("button", name="Go on").click()
    worker.work()
    page.reload()
    expect(page.get_by_role("heading", name="Signed and published")).to_be_visible()
    assert TemplateSigning.objects.get().state == SigningState.PUBLISHED
