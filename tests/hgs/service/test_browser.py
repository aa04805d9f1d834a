"""The console of HGS in a real browser: the walk of an administrator, the keyboard, and what axe says of each page.

With `GF_SCREENSHOTS=<folder>` every page looked at is also kept as a picture.
"""

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from hgs.commands import guardian_keys as commands
from hgs.commands.deny_issued_before import deny_issued_before
from hgs.commands.dependents import record_dependents
from hgs.commands.host_groups import add_host_group
from hgs.commands.submissions import submit
from hgs.keyprotection.certificates import issue_self_signed
from hgs.keyprotection.protector import new_protector
from hgs.keyprotection.secret import Secret
from hgs.models import Attestation, Baseline, KeyPurpose, KeyRelease, ServiceKey, Submission, TpmHost
from hgs.selectors import keys
from portal.accounts.models import User
from tests import browsing
from tests.browsing import NARROW, WIDE, Open, chromium, needs_chromium, require_no_sideways, windows
from tests.hgs.attestation.boots import REVOKED, Boot
from tests.hgs.keyprotection.guardians import NOW as MADE
from tests.hgs.keyprotection.guardians import branch, lab, owner
from tests.hgs.service.conftest import ADMIN, FABRIC, PASSWORD, Clock, Trusting
from tests.hgs.service.hosts import Host, roll
from tests.hgs.service.test_changes import ci_policy

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    needs_chromium,
]

# Each size and each theme once; the themes differ in colours alone, the sizes in layout alone.
LOOKS = [pytest.param(WIDE, "light", id="1440-light"), pytest.param(NARROW, "dark", id="390-dark")]
UPDATED = (*REVOKED, *(bytes([number]) * 32 for number in range(3, 12)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def server(as_hgs_alone: None, transactional_db: None) -> Iterator[LiveServer]:
    """HGS's own routes and middleware, served after the settings say so."""
    started = LiveServer("localhost")
    yield started
    started.stop()


@pytest.fixture
def busy(client: Client, fabric: Trusting, hv01: Host, hv02: Host, clock: Clock) -> None:
    """hv01 passed, asked for keys and came back with new firmware; hv02, a policy and a baseline wait for approval."""
    certificate = hv01.attest(client).certificate
    for guardian in (lab(), branch()):
        protector, _ = new_protector(owner(), [guardian.guardian], os.urandom)
        roll(client, protector, certificate, HTTP_VIRTUAL_MACHINE=str(uuid4()))
    roll(client, protector, b"no certificate")
    clock.forward(minutes=10)
    hv01.restart(Boot(identity=hv01.tpm.identity.public_key(), revoked=UPDATED, authority=b"a new certificate"))
    hv01.attest(client)
    hv02.begin(client)
    fabric("ci-policy", "drivers-1.0", ci_policy(*range(1, 9)))
    submit(FABRIC, "host", "hv02", hv02.identity_file)
    submit(FABRIC, "ci-policy", "drivers-1.1", ci_policy(*range(5, 15), audit=True, version=2))
    submit(FABRIC, "baseline", "older firmware", Boot(revoked=REVOKED[:1]).log().build().serialise())
    add_host_group(ADMIN, "Guarded hosts", "S-1-5-21-1004336348-1177238915-682003330-1103")


@pytest.fixture
def old(busy: None, keys_in_stock: None, clock: Clock) -> ServiceKey:
    """An encryption key before the primary one, with an expired certificate, that machines and files depend on."""
    found = ServiceKey.objects.get(purpose=KeyPurpose.GUARDIAN_ENCRYPTION)
    machines = [uuid4() for _ in range(3)]
    for vm in machines:
        KeyRelease.objects.create(
            at=clock.now, released=True, vm_id=vm, guardian_fingerprint=found.fingerprint, owner_fingerprint="ab" * 32
        )
    entries = [("vm", str(machines[0]), "web-01"), ("shielding-data", "sd-7", "Windows Server 2025 of contoso.pdk")]
    named = [
        {"kind": kind, "id": one, "name": name, "owner_fingerprint": "ab" * 32, "guardians": [found.fingerprint]}
        for kind, one, name in entries
    ]
    record_dependents(FABRIC, named, clock.now)
    clock.forward(minutes=1)
    commands.new_pair(ADMIN, primary=True)
    key = branch().encryption_key
    ended = issue_self_signed("contoso HGS before the move", key, "encryption", MADE, timedelta(days=30))
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    commands.disable_key(ADMIN, commands.add_from_files(ADMIN, "encryption", ended, private, Secret(b"")))
    deny_issued_before(ADMIN, clock.now, keys.primary_signer())
    return found


@pytest.fixture
def open_page(browser: Browser, server: LiveServer) -> Iterator[Open]:
    with windows(browser, server.url) as opened:

        def opener(user: User, **how: Any) -> Page:
            page = opened(**how)
            page.goto("/console/sign-in/")
            page.get_by_label("Name").fill(user.username)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_selector("nav.rail a")
            return page

        yield opener


def look(page: Page, name: str) -> None:
    """As at every page; besides, nothing may scroll sideways or complain."""
    browsing.look(page, name)
    require_no_sideways(page, name)
    assert page.complaints == [], name  # type: ignore[attr-defined]


def address(name: str) -> str:
    return f"/console/{name}"


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_page_is_accessible(
    open_page: Open, busy: None, old: ServiceKey, admin: User, size: tuple[int, int], scheme: str
) -> None:
    page = open_page(admin, size=size, scheme=scheme)
    refused = Attestation.objects.filter(passed=False, proven=True).get()
    baseline = Baseline.objects.get()
    waiting = {item.name: item for item in Submission.objects.filter(state="pending")}
    ids = "&".join(f"id={item.pk}" for item in waiting.values())
    pages = {
        "overview": "",
        "approvals": "approvals/",
        "approval-host": f"approvals/{waiting['hv02'].pk}/",
        "approval-ci-policy": f"approvals/{waiting['drivers-1.1'].pk}/",
        "approval-baseline": f"approvals/{waiting['older firmware'].pk}/",
        "decide": f"approvals/decide/?{ids}",
        "hosts": "hosts/",
        "host": f"hosts/{refused.identity}/",
        "host-groups": "host-groups/",
        "host-keys": "host-keys/",
        "baselines": "baselines/",
        "baseline-disable": f"baselines/{baseline.pk}/disable",
        "ci-policies": "ci-policies/",
        "dump-keys": "dump-keys/",
        "policies": "policies/",
        "policy-enable": "policies/Hgs_BitLockerEnabled/enable",
        "mode": "mode/",
        "mode-dry-run": "mode/host-key/",
        "attestations": "attestations/?outcome=failed",
        "attestation": f"attestations/{refused.pk}/",
        "capture": f"attestations/capture/?host={refused.identity}",
        "keys": "keys/",
        "key-dependents": f"keys/guardian/{old.pk}/dependents",
        "key-primary": f"keys/guardian/{old.pk}/primary",
        "key-remove": f"keys/guardian/{old.pk}/remove",
        "key-new-pair": "keys/guardian/new-pair",
        "deny": "keys/signer/deny",
        "releases": "releases/",
        "diagnostics": "diagnostics/?detailed=yes",
    }
    for name, path in pages.items():
        page.goto(address(path))
        expect(page.locator("h1")).to_have_count(1)
        look(page, f"hgs-{name}-{size[0]}-{scheme}")


def test_an_administrator_approves_after_reading_the_diff(open_page: Open, busy: None, admin: User) -> None:
    page = open_page(admin)
    page.get_by_role("link", name="Approvals").click()
    page.get_by_role("link", name="drivers-1.1").click()
    expect(page.get_by_text("Compared with the CI policy drivers-1.0:")).to_be_visible()
    expect(page.get_by_text("Audit mode switched on")).to_be_visible()
    expect(page.get_by_text("Look twice").first).to_be_visible()
    page.get_by_text(re.compile(r"^All \d+ entries$")).first.click()
    expect(page.locator(".entries li:visible").first).to_be_visible()
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("rejected.")).to_be_visible()
    page.get_by_role("checkbox", name="Tick all on this page").check()
    page.get_by_role("button", name="Decide about the ticked ones…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("decide about 2 submissions")
    page.get_by_role("button", name="Approve 2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("what was decided")
    assert TpmHost.objects.filter(name="hv02").exists()
    assert Baseline.objects.filter(name="older firmware").exists()


def test_a_new_baseline_is_captured_from_the_verdict(
    open_page: Open, busy: None, admin: User, client: Client, hv01: Host
) -> None:
    page = open_page(admin)
    page.goto(address("attestations/?outcome=failed&host=hv01"))
    page.locator("tbody a").first.click()
    expect(page.get_by_text("Compared with the nearest baseline, r1:")).to_be_visible()
    expect(page.get_by_text("The revocation list dbx gained 9 entries.")).to_be_visible()
    page.get_by_label("Name").fill("R750 2026-11")
    page.get_by_role("button", name="Capture").click()
    expect(page.get_by_text("It waits for approval here")).to_be_visible()
    assert hv01.attest(client).status == 403
    page.get_by_role("link", name="R750 2026-11").click()
    expect(page.get_by_text("1 host would pass that do not now.")).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("HGS trusts it now")).to_be_visible()
    assert hv01.attest(client).status == 200


def test_a_policy_is_disabled_by_keyboard_alone(open_page: Open, busy: None, admin: User) -> None:
    page = open_page(admin)
    page.goto(address("policies/"))
    page.get_by_role("link", name="Disable… Hgs_NoDumps").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Disable Hgs_NoDumps?")
    focused = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.innerText"))
        if focused[-1] == "Disable Hgs_NoDumps":
            break
    assert focused[-1] == "Disable Hgs_NoDumps", focused
    assert focused[-2] == "Cancel"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Enter")
    expect(page.get_by_text("Hgs_NoDumps disabled.")).to_be_visible()


def test_a_pair_is_taken_out_of_use_after_reading_what_is_lost(open_page: Open, old: ServiceKey, admin: User) -> None:
    page = open_page(admin)
    page.get_by_role("link", name="Certificates").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=f"Remove… {old.fingerprint[:8]}"))
    row.get_by_role("link", name=re.compile("Remove")).click()
    expect(page.get_by_text("4 virtual machines and 1 shielding data file would not open without it.")).to_be_visible()
    expect(page.get_by_role("cell", name="web-01")).to_be_visible()
    page.get_by_label(re.compile("^Type ")).fill("something else")
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("was not typed.")).to_be_visible()
    page.get_by_role("link", name=f"Remove… {old.fingerprint[:8]}").click()
    page.get_by_label(re.compile("^Type ")).fill(old.fingerprint[:8])
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("Lost with it: 4 virtual machines and 1 shielding data file.")).to_be_visible()
    assert not ServiceKey.objects.filter(pk=old.pk).exists()


def test_a_reviewer_finds_no_button_that_works(open_page: Open, busy: None, reviewer: User) -> None:
    page = open_page(reviewer)
    submission = Submission.objects.get(name="hv02")
    page.goto(address(f"approvals/{submission.pk}/"))
    expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    page.goto(address(f"baselines/{Baseline.objects.get().pk}/disable"))
    expect(page.get_by_role("button", name="Disable r1")).to_be_disabled()
    expect(page.get_by_text("A reviewer reads everything and changes nothing.")).to_be_visible()


def test_everything_works_without_scripts(browser: Browser, server: LiveServer, busy: None, admin: User) -> None:
    context = browser.new_context(base_url=server.url, java_script_enabled=False)
    page: Any = context.new_page()
    page.goto("/console/sign-in/")
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.goto(address("approvals/"))
    page.get_by_role("checkbox", name=re.compile("hv02")).check()
    page.get_by_role("button", name="Decide about the ticked ones…").click()
    page.get_by_role("button", name="Approve 1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("what was decided")
    context.close()
    assert TpmHost.objects.filter(name="hv02").exists()
