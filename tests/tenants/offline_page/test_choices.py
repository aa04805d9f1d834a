"""What a person chooses on the page is said back in its review and is in the file, as `gf pdk new` would have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from playwright.sync_api import expect

from fabric.shielding.answerfile import parse_linux_answer_file
from fabric.shielding.pdk import Pdk, PdkType, ShieldingSecrets, open_pdk, parse_pdk
from fabric.shielding.unattend import WindowsAnswers, windows_answer_file
from hgs.keyprotection.protector import unwrap
from hgs.keyprotection.secret import Secret
from tests.browsing import LOOKS, NARROW, SHOTS, WIDE, look
from tests.hgs.keyprotection.guardians import communications, lab
from tests.tenants.cli.conftest import Desk
from tests.tenants.offline_page.test_rdp import modern, pfx
from tests.tenants.offline_page.walking import (
    CATALOG,
    METADATA,
    OWNER,
    PASSPHRASE,
    Walk,
    prepared,
    reviewed,
    with_owner,
)

pytestmark = pytest.mark.browser
PFX_PASSWORD = "canary-pfx-password"
MISSING = "The answer file asks for @IP6Addr-1@, @ProductKey@, and this project's portal has no values for them."


def opened(path: Path) -> tuple[Pdk, ShieldingSecrets]:
    pdk = parse_pdk(path.read_bytes())
    return pdk, open_pdk(pdk, unwrap(pdk.protector, lab()))


def choose_existing(walk: Walk) -> None:
    walk.page.get_by_label("Virtual machines that exist already").check()


def give_answers(walk: Walk, text: str, name: str = "unattend.xml") -> None:
    (walk.folder / name).write_text(text)
    walk.page.locator("input[name=answer-source][value=file]").check()
    walk.page.get_by_label("Answer file", exact=True).set_input_files(walk.folder / name)


def give_pfx(walk: Walk, password: str = PFX_PASSWORD) -> bytes:
    data = pfx("rsa", modern(PFX_PASSWORD.encode()))
    (walk.folder / "rdp.pfx").write_bytes(data)
    if not walk.page.locator("#rdp-file").is_visible():
        walk.page.get_by_text("A certificate for Remote Desktop").click()
    walk.page.get_by_label("PFX file", exact=False).first.set_input_files(walk.folder / "rdp.pfx")
    walk.page.get_by_label("Password of the PFX file").fill(password)
    return data


@pytest.mark.parametrize("wanted", [True, False])
def test_the_wish_for_a_recovery_key_is_shown_before_and_kept_in_the_file(walk: Walk, wanted: bool) -> None:
    with_owner(walk)
    box = walk.page.get_by_label("Leave me a recovery key")
    expect(box).to_be_checked()
    expect(walk.page.locator("#recovery-key-help")).to_contain_text("gf recovery unprotect")
    box.set_checked(wanted)
    expect(reviewed(walk, "Recovery key")).to_contain_text("Left by the host" if wanted else "None")
    pdk, _ = opened(walk.make())
    assert pdk.escrows_recovery_key is wanted
    said = walk.page.locator("#make-result")
    assert ("gf recovery unprotect" in said.inner_text()) is wanted


def test_the_review_names_the_values_and_warns_of_those_that_the_portal_lacks(walk: Walk) -> None:
    with_owner(walk)
    warning = walk.page.locator("#values-warning")
    expect(reviewed(walk, "Asks for values")).to_have_text("The fabric fills in @ComputerName@.")
    expect(warning).to_be_hidden()
    give_answers(walk, "<a>@ProductKey@ @TimeZone@ @IP6Addr-1@ @TimeZone@</a>")
    expect(walk.page.get_by_role("status")).to_have_text(
        "The answer file asks for 3 values, 2 of which this project's portal does not have."
    )
    expect(warning).to_contain_text(MISSING)
    expect(warning).to_contain_text("Use a fabric that gives them, or put fixed values into the answer file.")
    expect(reviewed(walk, "Answer file")).to_have_text("unattend.xml, for Windows")
    pdk, _ = opened(walk.make())
    assert pdk.substitution_strings == ("@IP6Addr-1@", "@ProductKey@", "@TimeZone@")
    expect(walk.page.locator("#make-result")).to_contain_text(MISSING)
    give_answers(walk, 'GF_COMPUTER_NAME="web01"\n', "answers")
    expect(reviewed(walk, "Asks for values")).to_have_text("It asks the fabric for no value.")
    expect(warning).to_be_hidden()


def test_the_review_follows_what_is_given_and_taken_away(walk: Walk) -> None:
    expect(reviewed(walk, "Owner")).to_have_text("Not made or opened yet")
    expect(reviewed(walk, "Guardians")).to_have_text("None yet")
    expect(reviewed(walk, "Trusted disks")).to_have_text("None yet")
    with_owner(walk)
    (walk.folder / "app.conf").write_text("x")
    walk.page.get_by_label("Other files").set_input_files(walk.folder / "app.conf")
    expect(reviewed(walk, "Owner")).to_have_text("owner")
    expect(reviewed(walk, "Guardians")).to_have_text("fabric-guardian")
    expect(reviewed(walk, "Trusted disks")).to_contain_text("Debian 12, exactly 1.0.0.0, signed by")
    expect(reviewed(walk, "Files")).to_have_text("app.conf")
    expect(reviewed(walk, "SSH host key")).to_have_text("Made with the file")
    walk.page.get_by_label("Encryption supported").check()
    expect(reviewed(walk, "Policy")).to_have_text("Encryption supported")
    walk.page.get_by_role("button", name="Remove app.conf").click()
    expect(reviewed(walk, "Files")).to_have_text("None")
    walk.page.get_by_role("button", name="Remove Debian 12").click()
    expect(reviewed(walk, "Trusted disks")).to_have_text("None yet")


def test_a_wrong_answer_file_is_said_as_soon_as_it_is_chosen(walk: Walk) -> None:
    give_answers(walk, "<a>@Nonsense@</a>")
    assert "@Nonsense@, which is not a substitution string" in walk.problem("answer-file")
    expect(reviewed(walk, "Answer file")).to_contain_text("@Nonsense@")
    expect(reviewed(walk, "Asks for values")).to_have_text("Not known yet")


def test_a_file_for_machines_that_exist_trusts_no_disk_and_tells_nothing(walk: Walk) -> None:
    with_owner(walk)
    choose_existing(walk)
    expect(walk.page.locator("#disk-file")).to_be_hidden()
    expect(walk.page.locator("#answer-file")).to_be_hidden()
    expect(reviewed(walk, "Type")).to_have_text("Virtual machines that exist already")
    expect(reviewed(walk, "SSH host key")).to_have_text("None: the machine has its own")
    expect(walk.page.locator("#review dt", has_text="Trusted disks")).to_have_count(0)
    path = walk.make("existing.pdk")
    pdk, secrets = opened(path)
    assert (pdk.type, pdk.qualifiers, pdk.substitution_strings) == (PdkType.FOR_EXISTING_VMS, (), ())
    assert (secrets.answer_file.reveal(), dict(secrets.other_files)) == (b"", {})
    expect(walk.page.get_by_role("link", name="Save the known_hosts line")).to_have_count(0)
    shown = json.loads(Desk(walk.folder).done("pdk", "inspect", str(path), "--output", "json"))
    assert shown["type"] == "ForExistingVirtualMachines"


def test_files_go_with_machines_that_exist_as_well(walk: Walk) -> None:
    with_owner(walk)
    choose_existing(walk)
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    (walk.folder / "own_key").write_bytes(key)
    (walk.folder / "app.conf").write_bytes(b"x")
    walk.page.locator("input[name=host-key-source][value=file]").check()
    walk.page.get_by_label("Private key, Ed25519").set_input_files(walk.folder / "own_key")
    walk.page.get_by_label("Other files").set_input_files(walk.folder / "app.conf")
    _, secrets = opened(walk.make())
    assert {name: value.reveal() for name, value in secrets.other_files.items()} == {
        "app.conf": b"x",
        "ssh_host_ed25519_key": key,
    }


def test_a_windows_answer_file_gets_the_files_that_it_names(walk: Walk) -> None:
    walk.open_owner(walk.folder / OWNER)
    walk.add_guardian(walk.folder / METADATA, communications().fingerprint)
    walk.add_catalog(walk.folder / CATALOG)
    answers = WindowsAnswers(
        administrator_password=Secret(b"x"), rdp_certificate=True, configuration_script=True
    )  # fmt: skip
    give_answers(walk, windows_answer_file(answers).reveal().decode())
    walk.press_make()
    assert "uses rdp_certificate.pfx, which was not given" in walk.problem("answer-file")
    data = give_pfx(walk)
    walk.press_make()
    assert "uses configuration-script, which was not given" in walk.problem("answer-file")
    (walk.folder / "setup.ps1").write_text("Write-Host hello\n")
    walk.page.get_by_label("Configuration script").set_input_files(walk.folder / "setup.ps1")
    expect(reviewed(walk, "Files")).to_have_text("configuration-script, rdp_certificate.pfx")
    path = walk.make("windows.pdk")
    pdk, secrets = opened(path)
    assert pdk.substitution_strings == ("@ComputerName@", "@DnsAddr-1-1@", "@IP4Addr-1@", "@NextHop-1-1@")
    assert {name: value.reveal() for name, value in secrets.other_files.items()} == {
        "configuration-script": b"Write-Host hello\n",
        "rdp_certificate.password": PFX_PASSWORD.encode(),
        "rdp_certificate.pfx": data,
    }
    assert walk.page.get_by_label("Password of the PFX file").input_value() == ""
    assert PFX_PASSWORD.encode() not in path.read_bytes()
    (walk.folder / "passphrase").write_text(f"{PASSPHRASE}\n")
    desk = Desk(walk.folder)
    shown = desk.done(
        *("pdk", "inspect", str(path), "--owner", desk.path(OWNER), "--passphrase-file", desk.path("passphrase")),
        *("--store", desk.path("store")),
    )
    assert "CN=web01, until" in shown


def test_a_linux_answer_file_is_made_with_the_settings_given(walk: Walk) -> None:
    walk.open_owner(walk.folder / OWNER)
    prepared(walk, "x")
    walk.page.get_by_text("Network, time zone, locale").click()
    walk.page.get_by_label("Network", exact=True).select_option(label="Both")
    walk.page.get_by_label("Time zone").fill("Berlin`")
    walk.press_make()
    assert "not a time zone's name" in walk.problem("time-zone")
    walk.page.get_by_label("Time zone").fill("Europe/Berlin")
    walk.page.get_by_label("Locale").fill("de")
    walk.press_make()
    assert "not a locale with UTF-8" in walk.problem("locale")
    walk.page.get_by_label("Locale").fill("de_DE.UTF-8")
    walk.page.get_by_label("File name").click()
    expect(walk.page.locator("#values-warning")).to_contain_text("@IP6Addr-1@, @NextHop-1-2@")
    _, secrets = opened(walk.make())
    answers = parse_linux_answer_file(secrets.answer_file.reveal().decode())
    del answers["GF_ROOT_PASSWORD_HASH"]
    assert answers == {
        "GF_COMPUTER_NAME": "@ComputerName@",
        "GF_TIME_ZONE": "Europe/Berlin",
        "GF_IP4_ADDRESS": "@IP4Addr-1@",
        "GF_IP4_GATEWAY": "@NextHop-1-1@",
        "GF_IP6_ADDRESS": "@IP6Addr-1@",
        "GF_IP6_GATEWAY": "@NextHop-1-2@",
        "GF_DNS": "@DnsAddr-1-1@",
        "GF_LOCALE": "de_DE.UTF-8",
    }


def test_certificates_and_scripts_that_no_guest_could_use_are_refused(walk: Walk) -> None:
    with_owner(walk)
    give_pfx(walk, "wrong")
    walk.press_make()
    assert "password does not open its PFX file" in walk.problem("rdp-password")
    walk.page.get_by_label("Password of the PFX file").fill("")
    walk.press_make()
    assert "Give the password" in walk.problem("rdp-password")
    walk.page.locator("#rdp-file").set_input_files([])
    walk.page.get_by_label("Password of the PFX file").fill(PFX_PASSWORD)
    walk.press_make()
    assert "Choose the PFX file" in walk.problem("rdp-file")
    walk.page.get_by_label("Password of the PFX file").fill("")
    (walk.folder / "setup.sh").write_bytes(bytes(64 * 1024 + 1))
    walk.page.get_by_label("Configuration script").set_input_files(walk.folder / "setup.sh")
    walk.press_make()
    assert "more than 64 KiB" in walk.problem("script-file")
    walk.page.get_by_label("Configuration script").set_input_files([])
    (walk.folder / "configuration-script").write_text("x")
    walk.page.get_by_label("Other files").set_input_files(walk.folder / "configuration-script")
    walk.press_make()
    assert "there is a field for it above" in walk.problem("other-1")
    expect(walk.page.locator("#make-result")).to_be_hidden()


def fill_everything(walk: Walk) -> None:
    """Every part of the page unfolded, with a warning in the review."""
    for summary in walk.page.locator("summary").all():
        summary.click()
    with_owner(walk)
    (walk.folder / "app.conf").write_text("x")
    walk.page.get_by_label("Other files").set_input_files(walk.folder / "app.conf")
    give_answers(walk, "<a>@ProductKey@ @IP6Addr-1@ @DnsAddr-1-1@ @NextHop-1-2@ @Prefix-1-2@ @MACAddr-1@</a>")
    expect(walk.page.locator("#values-warning")).to_be_visible()


def stays_in_width(walk: Walk) -> bool:
    return bool(walk.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0)


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_the_review_and_what_is_unfolded_are_accessible(walk: Walk, size: tuple[int, int], scheme: str) -> None:
    walk.page.set_viewport_size({"width": size[0], "height": size[1]})
    walk.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    fill_everything(walk)
    look(walk.page, f"offline-unfolded-{size[0]}-{scheme}")
    assert stays_in_width(walk)
    choose_existing(walk)
    look(walk.page, f"offline-existing-{size[0]}-{scheme}")
    walk.make()
    look(walk.page, f"offline-existing-made-{size[0]}-{scheme}")
    assert stays_in_width(walk)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_nothing_is_told_by_colour_alone_where_the_system_chooses_the_colours(
    walk: Walk, size: tuple[int, int], scheme: str
) -> None:
    walk.page.set_viewport_size({"width": size[0], "height": size[1]})
    walk.page.emulate_media(color_scheme=scheme, forced_colors="active")  # type: ignore[arg-type]
    plain = step_colour(walk, "#make-step")
    fill_everything(walk)
    assert step_colour(walk, "#owner-step") != plain
    walk.page.get_by_label("File name").fill("a/b")
    walk.press_make()
    walk.problem("pdk-name")
    border = "getComputedStyle(document.getElementById('pdk-name')).borderTopWidth"
    assert walk.page.evaluate(border) == "3px"
    walk.page.evaluate("Object.assign(document.getElementById('progress'), { hidden: false, value: 0.5 })")
    if SHOTS:
        walk.page.screenshot(path=f"{SHOTS}/offline-forced-{size[0]}-{scheme}.png")
    # Axe sees the colours that the stylesheet asks for, not those that the system puts in their place.
    found = Axe().run(walk.page, options={"rules": {"color-contrast": {"enabled": False}}})
    assert [each["id"] for each in found.response["violations"]] == []
    assert stays_in_width(walk)


def step_colour(walk: Walk, step: str) -> str:
    found = f"getComputedStyle(document.querySelector('{step} .step-number')).backgroundColor"
    return str(walk.page.evaluate(found))


def test_at_twice_the_size_nothing_is_cut_off_or_lies_under_the_bar(walk: Walk) -> None:
    """A window of 1440 pixels at 200 %, and one of 320 CSS pixels: 400 % of 1280 (WCAG 1.4.10)."""
    fill_everything(walk)
    for width, height in ((720, 450), (320, 256)):
        walk.page.set_viewport_size({"width": width, "height": height})
        assert stays_in_width(walk)
        look(walk.page, f"offline-zoomed-{width}")
        for field in ("pdk-name", "make-button", "recovery-key", "other-file"):
            walk.page.locator(f"#{field}").focus()
            bar, found = (walk.page.locator(each).bounding_box() for each in ("#status", f"#{field}"))
            assert bar is not None
            assert found is not None
            assert found["y"] < bar["y"], (field, width)
