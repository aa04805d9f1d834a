"""Pages in a real browser, as tests of every part look at them: Chromium, its windows, and what is asked of each page.

With `GF_SCREENSHOTS=<folder>` every page looked at is also kept as a picture.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
WIDE, NARROW = (1440, 900), (390, 844)
LOOKS = [
    pytest.param(size, scheme, id=f"{size[0]}-{scheme}") for size in (WIDE, NARROW) for scheme in ("light", "dark")
]
SHOTS = os.environ.get("GF_SCREENSHOTS", "")

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium")
Open = Callable[..., Page]


@contextmanager
def chromium() -> Iterator[Browser]:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's synchronous API keeps an event loop in this thread
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield started
        started.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@contextmanager
def windows(browser: Browser, url: str) -> Iterator[Open]:
    """Opens pages of the site at `url`, each in a window of its own; `page.complaints` is what its console said."""
    contexts = []

    def opener(*, size: tuple[int, int] = WIDE, scheme: str = "light", scripts: bool = True) -> Page:
        context = browser.new_context(
            base_url=url,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            java_script_enabled=scripts,
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.complaints = complaints  # type: ignore[attr-defined]
        return page

    yield opener
    for context in contexts:
        context.close()


def sign_in(page: Page, user: Any, url: str) -> None:
    """Give the window a session of the user, without the form."""
    client = Client()
    client.force_login(user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}])


def look(page: Page, name: str) -> None:
    """Keep a picture if asked for, and let axe look at the page."""
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{SHOTS}/{name}.png")
    found = Axe().run(page)
    said = [
        f"{each['id']}: {[node['html'][:160] for node in each['nodes'][:3]]}" for each in found.response["violations"]
    ]
    assert not said, f"{name}: {said}"


def look_at(page: Page, name: str, url: str) -> None:
    """Go there: one heading of the first level, nothing for axe to say, and nothing that scrolls sideways."""
    page.goto(url)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    look(page, name)
    require_no_sideways(page, name)


def require_no_sideways(page: Page, name: str) -> None:
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0, f"{name} scrolls sideways by {over} px"
