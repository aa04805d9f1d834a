"""A tenant makes shielding data in the browser, with the page that the portal serves, and a VM is made from it."""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tenants.offline_page.build import published_sha256
from tests.main_job.canary import places_with
from tests.main_job.conftest import Fabric
from tests.main_job.test_browser import sign_in
from tests.tenants.offline_page.walking import PASSPHRASE, Walk

pytestmark = [pytest.mark.fabric, pytest.mark.browser]
CANARY = "canary-offline-5d20a7"


@dataclass(frozen=True)
class Made:
    """What the tenant saved: the owner guardian, the shielding data, the line for known_hosts."""

    owner: Path
    pdk: Path
    known_hosts: Path


@pytest.fixture(scope="module")
def page(browser: Browser, fabric: Fabric) -> Page:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    sign_in(page, fabric)
    expect(page.locator(".shell")).to_be_visible()
    return page


@pytest.fixture(scope="module")
def made(page: Page, fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Everything the tenant needs comes from the portal; the fingerprint comes from the HGS administrator."""
    folder = tmp_path_factory.mktemp("offline")
    served = page.context.request.get(f"{fabric.portal_url}/shielding-data/offline/").body()
    assert hashlib.sha256(served).hexdigest() == published_sha256()
    metadata = page.context.request.get(f"{fabric.portal_url}/downloads/guardian/").body()
    (folder / "fabric-guardian.xml").write_bytes(metadata)
    known = json.loads(fabric.gf("tenant", "guardian", "show", "hgs", "--output", "json").stdout)
    (folder / "canary.txt").write_text(CANARY * 20)
    offline = page.context.new_page()
    complaints: list[str] = []
    offline.on("console", lambda said: complaints.append(said.text))
    offline.goto(f"{fabric.portal_url}/shielding-data/offline/")
    asked: list[str] = []
    offline.on("request", lambda request: asked.append(request.url))
    walk = Walk(offline, folder)
    owner = walk.make_owner("Offline tenant")
    walk.add_guardian(folder / "fabric-guardian.xml", known["fingerprint"])
    walk.add_catalog(fabric.tenant_folder / "small-linux.vsc")
    walk.set_password(f"password-{CANARY}")
    offline.get_by_label("SSH keys that may sign in").fill((fabric.tenant_folder / "id_ed25519.pub").read_text())
    offline.get_by_label("Other files").set_input_files(folder / "canary.txt")
    pdk = walk.make("offline.pdk")
    known_hosts = walk.save("Save the known_hosts line")
    assert [url for url in asked if not url.startswith("blob:")] == []
    assert complaints == []
    offline.close()
    return Made(owner, pdk, known_hosts)


@pytest.fixture(scope="module")
def running(page: Page, fabric: Fabric, made: Made) -> Iterator[str]:
    """The VM `web-offline`, made from the file and running; its page's text.

    It is removed at the end: its owner's keys are not those that the other tests of this fabric have.
    """
    page.goto(f"{fabric.portal_url}/shielding-data/new/")
    page.locator("input[type=file]").set_input_files(made.pdk)
    page.locator("#id_name").fill("offline")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="offline", level=1)).to_be_visible()
    page.goto(f"{fabric.portal_url}/virtual-machines/new/")
    page.locator("#id_name").fill("web-offline")
    page.locator("#id_shielding_data").select_option(label="offline")
    page.locator("#id_network").select_option(index=0)
    page.get_by_role("button", name="Create VM").click()
    page.wait_for_url(re.compile(r"/virtual-machines/[0-9a-f-]{36}/"))
    expect(page.locator("#title-status")).to_have_text("Running", timeout=300_000)
    yield page.inner_text("main")
    for words in (("vm", "remove", "web-offline", "--yes", "--wait"), ("shielding-data", "remove", "offline")):
        removed = fabric.gf("tenant", *words)
        assert removed.returncode == 0, removed.stderr


def test_a_vm_is_made_from_it(running: str) -> None:
    assert "Shielded" in running
    assert "Small Linux" in running


@pytest.mark.usefixtures("running")
def test_the_vm_has_the_host_key_and_the_files_of_the_page(fabric: Fabric, made: Made) -> None:
    words = json.loads(fabric.gf("tenant", "vm", "show", "web-offline", "--output", "json").stdout)["ssh"].split()
    own = [
        f"UserKnownHostsFile={made.known_hosts}",
        "HostKeyAlias=offline",
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
    ]
    options = [part for option in own for part in ("-o", option)]
    said = subprocess.run(
        [words[0], "-i", "id_ed25519", "-F", "none", *options, *words[1:], "cat /etc/guarded/files/canary.txt"],
        cwd=fabric.tenant_folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert CANARY in said.stdout, said.stderr


@pytest.mark.usefixtures("running")
def test_no_secret_typed_into_the_page_is_found_in_the_fabric(fabric: Fabric, made: Made) -> None:
    own = made.owner.parent
    assert places_with(CANARY, own) == {own / "canary.txt"}  # the search finds what is there
    assert places_with(CANARY, fabric.var) == set()
    assert places_with(PASSPHRASE, fabric.var) == set()


def test_the_command_line_opens_what_the_page_made(fabric: Fabric, made: Made) -> None:
    (made.owner.parent / "passphrase").write_text(f"{PASSPHRASE}\n")
    shown = fabric.gf(
        *("tenant", "pdk", "inspect", str(made.pdk), "--owner", str(made.owner)),
        *("--passphrase-file", str(made.owner.parent / "passphrase"), "--output", "json"),
    )
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["known_hosts"] == made.known_hosts.read_text().strip()
