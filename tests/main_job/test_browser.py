"""A tenant makes a second VM through the pages alone and watches it become Running."""

import json
import re
import subprocess

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.main_job.canary import places_with
from tests.main_job.conftest import Fabric

pytestmark = [pytest.mark.fabric, pytest.mark.browser]
CANARY = "canary-7f3b1c94e2"


@pytest.fixture(scope="module")
def shielding_data(fabric: Fabric) -> str:
    """A shielding data file with a secret that nobody but the VM may ever see, by its path on the tenant's machine."""
    folder = fabric.tenant_folder
    (folder / "canary.txt").write_text(CANARY * 20)
    (folder / "canary.password").write_text(f"password-{CANARY}\n")
    made = fabric.gf(
        "tenant", "pdk", "new", "--owner", "owner.guardian", "--passphrase-file", "owner.passphrase",
        "--guardian", "hgs", "--catalog", "small-linux.vsc", "--admin-password-file", "canary.password",
        "--authorized-key", "id_ed25519.pub", "--file", "canary=canary.txt", "--out", "canary.pdk",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return str(folder / "canary.pdk")


def sign_in(page: Page, fabric: Fabric) -> None:
    page.goto(fabric.portal_url)
    page.get_by_label("User name").fill("tenant")
    page.get_by_label("Password", exact=True).fill(fabric.password("tenant"))
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture(scope="module")
def made_in_the_browser(browser: Browser, fabric: Fabric, shielding_data: str) -> str:
    """Uploads the file, creates `web02` from a name, the file and a network, and waits on its page until it runs."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    sign_in(page, fabric)
    page.goto(f"{fabric.portal_url}/shielding-data/new/")
    page.locator("input[type=file]").set_input_files(shielding_data)
    page.locator("#id_name").fill("canary")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("canary").first).to_be_visible()
    page.goto(f"{fabric.portal_url}/virtual-machines/new/")
    page.locator("#id_name").fill("web02")
    page.locator("#id_shielding_data").select_option(label="canary")
    page.locator("#id_network").select_option(index=0)
    page.get_by_role("button", name="Create VM").click()
    page.wait_for_url(re.compile(r"/virtual-machines/[0-9a-f-]{36}/"))
    expect(page.get_by_text("Check every block of the template")).to_be_visible(timeout=60_000)
    expect(page.locator("#title-status")).to_have_text("Running", timeout=300_000)
    expect(page.get_by_text("What protects it")).to_be_visible()
    expect(page.get_by_text("Alive")).to_be_visible()
    assert problems == []
    text = page.inner_text("main")
    context.close()
    return text


def test_its_page_says_what_protected_it(made_in_the_browser: str) -> None:
    assert "Shielded" in made_in_the_browser
    assert "Small Linux" in made_in_the_browser
    assert "ssh -p" in made_in_the_browser


@pytest.mark.usefixtures("made_in_the_browser")
def test_the_secret_is_found_nowhere_in_the_fabric(fabric: Fabric) -> None:
    found = places_with(CANARY, fabric.var)
    own = {path for path in found if path.is_relative_to(fabric.tenant_folder)}
    assert fabric.tenant_folder / "canary.txt" in own  # the search finds what is there
    assert found - own == set()


@pytest.mark.usefixtures("made_in_the_browser")
def test_the_secret_reached_the_machine_it_is_for(fabric: Fabric) -> None:
    words = json.loads(fabric.gf("tenant", "vm", "show", "web02", "--output", "json").stdout)["ssh"].split()
    options = ["-i", "id_ed25519", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    said = subprocess.run(
        [words[0], *options, "-o", "BatchMode=yes", *words[1:], "cat /etc/guarded/files/canary"],
        cwd=fabric.tenant_folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert CANARY in said.stdout, said.stderr
