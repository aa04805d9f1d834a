"""The shell in a real browser: keyboard, live parts, accessibility by axe, and what a page weighs.

With `GF_SCREENSHOTS=<folder>` every page looked at is also kept as a picture.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from portal.accounts.models import User
from portal.kernel import jobs
from portal.kernel.actor import user_actor
from portal.kernel.errors import Conflict
from portal.web.notifications import notify_failed, notify_job
from tests.browsing import LOOKS, NARROW, Open, chromium, look, needs_chromium, windows
from tests.portal.conftest import PASSWORD
from tests.portal.web import showcase

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("shown"),
    needs_chromium,
]

PAGE_LIMIT = 150_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(browser: Browser, live_server: LiveServer) -> Iterator[Open]:
    with windows(browser, live_server.url) as opened:

        def opener(user: User | None = None, **how: Any) -> Page:
            page = opened(**how)
            if user is not None:
                page.goto("/account/sign-in/")
                page.get_by_label("User name").fill(user.username)
                page.get_by_label("Password").fill(PASSWORD)
                page.get_by_role("button", name="Sign in").click()
                page.wait_for_selector(".shell")
            return page

        yield opener


def running_job(user: User) -> str:
    job = jobs.create_job(
        user_actor(user),
        kind="create-vm",
        title="Create web02",
        scope=f"subscription:{user.username}",
        target_type="vm",
        target_id="1",
        target_name="web02",
        steps=[
            jobs.Step("place", "Choose a host", 1),
            jobs.Step("fetch", "Fetch template and shielding data", 3),
            jobs.Step("release", "Ask HGS for the key", 1),
            jobs.Step("verify", "Compare the template with its catalog", 4),
            jobs.Step("boot", "Start the machine", 4),
        ],
    )
    jobs.progress(job.pk, "place", 100, "hv01, attested until 14:02")
    jobs.progress(job.pk, "fetch", 100)
    jobs.progress(job.pk, "release", 100)
    jobs.progress(job.pk, "verify", 62, "block 318 of 512")
    notify_job(user_actor(user), job.pk, "Creating web02.", "web02 is running.", "web02 was not created.")
    return str(job.pk)


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_kind_of_page_is_accessible(
    open_page: Open, tenant: User, operator: User, size: tuple[int, int], scheme: str
) -> None:
    tag = f"{size[0]}-{scheme}"
    page = open_page(size=size, scheme=scheme)
    page.goto("/account/sign-in/")
    look(page, f"sign-in-{tag}")
    page = open_page(tenant, size=size, scheme=scheme)
    look(page, f"all-items-{tag}")
    page.goto("/machines/")
    page.get_by_label("Select web01").check()
    look(page, f"list-{tag}")
    job = running_job(tenant)
    showcase.JOB_IDS["web02"] = job
    page.goto(showcase.machine_url(showcase.by_name("web02")))
    look(page, f"detail-{tag}")
    page.goto("/machines/")
    page.locator("[data-open-drawer]").click()
    page.get_by_role("link", name="Quick create").click()
    expect(page.get_by_label("Name")).to_be_focused()
    look(page, f"drawer-{tag}")
    notify_failed(
        user_actor(tenant),
        "Start db01",
        Conflict("no-eligible-host", "No host is attested now.", "Ask the operator of the fabric."),
        "5e1f00d1",
    )
    page.goto("/machines/")
    look(page, f"notification-{tag}")
    page.goto(f"/machines/{showcase.by_name('db01').pk}/remove/")
    look(page, f"remove-{tag}")
    page.goto("/quick-start/machines/")
    look(page, f"quick-start-{tag}")
    page.goto("/help/")
    look(page, f"help-{tag}")
    page.goto("/activity/")
    look(page, f"activity-{tag}")
    page.goto("/new/")
    look(page, f"new-{tag}")
    page.goto("/account/tokens/new/")
    look(page, f"token-{tag}")
    page.goto("/nothing/")
    look(page, f"missing-{tag}")
    page = open_page(operator, size=size, scheme=scheme)
    look(page, f"fabric-{tag}")
    page.goto("/fabric/hosts/")
    look(page, f"empty-{tag}")


def test_a_row_chosen_enables_its_commands_and_explains_the_others(open_page: Open, tenant: User) -> None:
    page = open_page(tenant)
    page.goto("/machines/")
    stop = page.locator('[data-command="stop"]')
    expect(stop).to_have_attribute("aria-disabled", "true")
    page.get_by_label("Select web01").check()
    expect(stop).to_have_attribute("href", f"/machines/{showcase.by_name('web01').pk}/stop/")
    expect(page.locator('[data-command="start"]')).to_contain_text("It is running already.")
    page.get_by_label("Select db01").check()
    expect(stop).to_contain_text("It is not running.")


def test_a_selection_survives_the_list_refreshing_itself(open_page: Open, tenant: User) -> None:
    page = open_page(tenant)
    page.goto("/machines/")
    page.get_by_label("Select web01").check()
    showcase.by_name("web02").state = showcase.status.running()
    expect(page.locator("tr", has_text="web02")).to_contain_text("Running", timeout=8000)
    expect(page.get_by_label("Select web01")).to_be_checked()


def test_a_vm_is_created_from_the_drawer_by_keyboard(open_page: Open, tenant: User) -> None:
    page = open_page(tenant)
    page.goto("/machines/")
    page.locator("[data-open-drawer]").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".new-services a").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".new-items a").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("web01")
    page.keyboard.press("Enter")
    expect(page.locator("#drawer-form .field-error")).to_contain_text("You have a VM of that name.")
    expect(page.get_by_label("Name")).to_have_value("web01")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("web77")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("web77")
    expect(page.locator(".notice-done")).to_contain_text("web77 was created.")


def test_a_job_is_followed_live_to_its_failure(open_page: Open, tenant: User) -> None:
    page = open_page(tenant)
    job = running_job(tenant)
    page.goto(f"/activity/{job}/")
    expect(page.locator(".step-running")).to_contain_text("Compare the template")
    jobs.fail(
        job, code="template-changed", message="The template differs from its catalog.", advice="Take another one."
    )
    expect(page.locator(".job .problem")).to_contain_text("Take another one.")
    expect(page.locator(".notice-failed")).to_contain_text("web02 was not created.")
    page.goto("/machines/")
    expect(page.locator(".notice-failed")).to_contain_text("The template differs from its catalog.")
    page.locator(".notice-failed").get_by_role("button").click()
    expect(page.locator(".notice-failed")).to_have_count(0)


def test_focus_is_never_hidden_behind_the_bars(open_page: Open, tenant: User) -> None:
    for number in range(20):
        machine = showcase.Machine(f"filler{number:02}", showcase.status.stopped())
        showcase.MACHINES[str(machine.pk)] = machine
    page = open_page(tenant, size=(1024, 600))
    page.goto("/machines/")
    covered = """() => {
        const at = document.activeElement, box = at.getBoundingClientRect();
        if (at === document.body || box.width === 0 || at.closest('.table-scroll') === at) return '';
        const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        return top && (at.contains(top) || top.contains(at)) ? '' : at.outerHTML.slice(0, 120);
    }"""
    for _ in range(60):
        page.keyboard.press("Tab")
        assert page.evaluate(covered) == ""


def test_every_target_is_at_least_24_pixels(open_page: Open, tenant: User) -> None:
    page = open_page(tenant, size=NARROW)
    for address in ("/machines/", showcase.machine_url(showcase.by_name("web01")), "/new/", "/account/tokens/new/"):
        page.goto(address)
        small = page.evaluate(
            """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary')]
                .filter(e => e.checkVisibility() && !e.matches('.skip, p a, dd a, .row-select, .visually-hidden'))
                .map(e => [e.outerHTML.slice(0, 90), e.getBoundingClientRect()])
                .filter(([, b]) => b.width > 0 && (b.width < 24 || b.height < 23.5))
                .map(([html, b]) => `${Math.round(b.width)}x${Math.round(b.height)} ${html}`)"""
        )
        assert small == [], address


def test_a_page_is_not_wider_than_a_phone_or_twice_enlarged(open_page: Open, tenant: User) -> None:
    for size in (NARROW, (720, 450), (320, 640)):
        page = open_page(tenant, size=size)
        for address in ("/machines/", showcase.machine_url(showcase.by_name("web01")), "/new/", "/account/"):
            page.goto(address)
            over = page.evaluate(
                """() => [...document.querySelectorAll('body *')]
                    .filter(e => e.checkVisibility() && !e.closest('.table-scroll'))
                    .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
            )
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (size, address, over[-3:])


def test_the_rail_opens_and_closes_on_a_phone(open_page: Open, tenant: User) -> None:
    page = open_page(tenant, size=NARROW)
    expect(page.locator("#rail")).to_be_hidden()
    page.get_by_role("button", name="Menu", exact=True).click()
    expect(page.locator("#rail")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#rail")).to_be_hidden()


def test_the_theme_changes_without_losing_the_page(open_page: Open, tenant: User) -> None:
    page = open_page(tenant)
    page.goto("/machines/new/")
    page.get_by_label("Name").fill("half-typed")
    page.locator("summary", has_text="Theme").click()
    with page.expect_response("**/preferences/theme/"):
        page.get_by_role("button", name="Dark").click()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(16, 22, 29)"
    expect(page.get_by_label("Name")).to_have_value("half-typed")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_job_on_its_objects_page_stays_while_both_refresh(open_page: Open, tenant: User) -> None:
    page = open_page(tenant)
    showcase.JOB_IDS["web02"] = running_job(tenant)
    page.goto(showcase.machine_url(showcase.by_name("web02")))
    for _ in range(2):
        with page.expect_response(lambda answer: "/panel/" in answer.url):
            pass
        expect(page.locator(".job .step-running")).to_contain_text("Compare the template")


def test_a_question_mark_leads_to_help(open_page: Open, tenant: User) -> None:
    page = open_page(tenant)
    page.keyboard.press("?")
    expect(page.get_by_role("heading", level=1)).to_have_text("help")


def test_slash_leads_to_the_search(open_page: Open, tenant: User) -> None:
    page = open_page(tenant)
    page.keyboard.press("/")
    expect(page.get_by_label("Search everything")).to_be_focused()
    page.keyboard.type("db01")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="db01")).to_be_visible()


def test_it_works_without_scripts(browser: Browser, live_server: LiveServer, tenant: User) -> None:
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/account/sign-in/")
    page.get_by_label("User name").fill(tenant.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.locator("[data-open-drawer]").click()
    page.get_by_role("link", name="Quick create").click()
    page.get_by_label("Name").fill("scriptless")
    page.get_by_role("button", name="Create VM").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("scriptless")
    context.close()


def test_no_page_breaks_the_content_security_policy(open_page: Open, tenant: User) -> None:
    page = open_page(tenant)
    running_job(tenant)
    for address in ("/", "/machines/", showcase.machine_url(showcase.by_name("web01")), "/new/", "/api/docs/"):
        page.goto(address)
        page.wait_for_load_state("networkidle")
    assert page.complaints == []  # type: ignore[attr-defined]


def test_a_page_weighs_little(open_page: Open, tenant: User) -> None:
    page = open_page(tenant)
    sizes: dict[str, int] = {}
    page.on("response", lambda response: sizes.__setitem__(response.url, len(response.body())))
    page.goto("/machines/")
    page.wait_for_load_state("networkidle")
    assert sum(sizes.values()) <= PAGE_LIMIT, sizes
