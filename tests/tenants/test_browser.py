"""The account of keys in a real browser: what axe says of each page, and the walk from the proof to the bundle.

With `GF_SCREENSHOTS=<folder>` every page looked at is also kept as a picture.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from portal.kernel.actor import user_actor
from tenants.commands.owner_proof import new_challenge, prove_owner
from tenants.models import VirtualMachine
from tenants.owner_proof import prove
from tests.browsing import LOOKS, Open, chromium, look_at, needs_chromium, sign_in, windows
from tests.cast import Cast, make_shielding_data
from tests.hgs.keyprotection.guardians import owner
from tests.tenants.fake_key_log import FakeKeyLog
from tests.tenants.test_tenant_api import vm_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    needs_chromium,
]
OWNER = owner().guardian.fingerprint


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def vm(transactional_db: None, key_log: FakeKeyLog) -> VirtualMachine:
    """A VM of the owner; HGS released its key, refused it, and released one for a VM that nobody here knows."""
    cast = Cast()
    data = make_shielding_data(cast.subscription, "own", owner_fingerprint=OWNER, owner_name="contoso guardian signing")
    with patch("fabric.dispatch._send"):
        made = vm_of(cast)
    VirtualMachine.objects.update(shielding_data=data)
    made.refresh_from_db()
    key_log.add(OWNER, made.pk, offline=3)
    key_log.refuse(OWNER, made.pk, message="This health certificate was given before HGS knew the host as it does now.")
    key_log.add(OWNER, uuid4(), host_name="hv02")
    key_log.refuse(OWNER, host_name="", reason="no-certificate", message="There is no health certificate.")
    return made


@pytest.fixture
def open_page(browser: Browser, live_server: LiveServer, vm: VirtualMachine) -> Iterator[Open]:
    with windows(browser, live_server.url) as opened:

        def opener(**how: Any) -> Page:
            page = opened(**how)
            sign_in(page, vm.subscription.owner, live_server.url)
            return page

        yield opener


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_page_of_the_account_is_accessible(
    open_page: Open, vm: VirtualMachine, key_log: FakeKeyLog, size: tuple[int, int], scheme: str
) -> None:
    tag, actor = f"{size[0]}-{scheme}", user_actor(vm.subscription.owner)
    page = open_page(size=size, scheme=scheme)
    own = reverse("tenants:key-account", args=[OWNER])
    look_at(page, f"account-owners-{tag}", reverse("tenants:key-accounts"))
    look_at(page, f"account-closed-{tag}", own)
    look_at(page, f"account-prove-{tag}", f"{own}prove/")
    look_at(page, f"account-vm-{tag}", reverse("tenants:vm-keys", args=[vm.pk]))
    prove_owner(actor, proof=prove(new_challenge(actor, owner=OWNER, origin="http://localhost"), owner()))
    look_at(page, f"account-open-{tag}", own)
    look_at(page, f"account-close-{tag}", f"{own}close/")
    key_log.away = True
    look_at(page, f"account-away-{tag}", own)
    look_at(page, f"account-no-bundle-{tag}", f"{own}bundle/")


def test_an_owner_proves_the_key_reads_the_account_and_takes_the_bundle(
    open_page: Open, vm: VirtualMachine, key_log: FakeKeyLog, tmp_path: Path
) -> None:
    page = open_page()
    page.goto(reverse("tenants:vm-keys", args=[vm.pk]))
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("link", name="owner's account").click()
    page.locator(".section").get_by_role("link", name="Prove it").click()
    command = page.locator(".numbered code").inner_text()
    page.get_by_label("Proof").fill(prove(command.split()[-1], owner()))
    page.get_by_role("button", name="Open the account").click()
    expect(page.locator("tbody tr")).to_have_count(4)
    expect(page.get_by_text("No VM of yours")).to_have_count(1)
    page.get_by_label("Size of the log at the checkpoint you kept").fill("2")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the bundle").click()
    download.value.save_as(tmp_path / "bundle.zip")
    assert (tmp_path / "bundle.zip").read_bytes() == key_log.bundle
    assert key_log.requests[-1].url.params["from"] == "2"
