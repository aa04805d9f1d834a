"""What the page does not take: each is said at its field, nothing is made, and what was typed stays."""

import re

import pytest
from playwright.sync_api import expect

from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.metadata import serialise_metadata
from tests.hgs.keyprotection.guardians import communications, lab, owner
from tests.tenants.offline_page.walking import (
    CATALOG,
    METADATA,
    OWNER,
    PASSPHRASE,
    PASSWORD,
    Walk,
    prepared,
    with_owner,
)

pytestmark = pytest.mark.browser


def test_a_new_owner_has_to_be_saved_first(walk: Walk) -> None:
    page = walk.page
    page.get_by_label("Name", exact=True).fill("Contoso")
    page.get_by_label("Passphrase", exact=True).fill(PASSPHRASE)
    page.get_by_label("Passphrase again").fill(PASSPHRASE)
    page.get_by_role("button", name="Make the owner guardian").click()
    expect(page.get_by_role("link", name="Save the owner guardian")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("nobody can give you access again")).to_be_visible()
    prepared(walk)
    walk.press_make()
    assert "Save the owner guardian first" in walk.problem("owner-save")
    walk.save("Save the owner guardian")
    walk.make()


@pytest.mark.parametrize(
    ("name", "passphrase", "again", "field", "said"),
    [
        ("", PASSPHRASE, PASSPHRASE, "owner-name", "letters, digits"),
        ("a/b", PASSPHRASE, PASSPHRASE, "owner-name", "letters, digits"),
        ("Contoso", "seven77", "seven77", "owner-passphrase", "fewer than 8"),
        ("Contoso", PASSPHRASE, PASSPHRASE + "x", "owner-repeat", "not the same"),
    ],
)
def test_weak_or_mistyped_input_makes_no_owner(
    walk: Walk, name: str, passphrase: str, again: str, field: str, said: str
) -> None:
    walk.page.get_by_label("Name", exact=True).fill(name)
    walk.page.get_by_label("Passphrase", exact=True).fill(passphrase)
    walk.page.get_by_label("Passphrase again").fill(again)
    walk.page.get_by_role("button", name="Make the owner guardian").click()
    assert said in walk.problem(field)
    assert walk.page.get_by_label("Name", exact=True).input_value() == name


def test_a_wrong_passphrase_opens_no_owner(walk: Walk) -> None:
    walk.open_owner(walk.folder / OWNER, "another passphrase")
    assert "passphrase is wrong" in walk.problem("owner-passphrase")
    walk.open_owner(walk.folder / METADATA)
    assert "not a OwnerGuardian document" in walk.problem("owner-file")


def test_a_fingerprint_has_to_be_compared(walk: Walk) -> None:
    with_owner(walk)
    given = walk.page.get_by_label("that the HGS administrator gave you")
    given.fill("")
    walk.press_make()
    assert "Compare the fingerprint" in walk.problem("guardian-1-given")
    given.fill(grouped(lab().guardian.fingerprint))  # of the signing certificate: not what is asked for
    walk.page.get_by_label("I compared").check()
    walk.press_make()
    assert "Do not use it" in walk.problem("guardian-1-given")
    given.fill(communications().fingerprint)
    walk.make()


def test_expired_guardians_are_taken_only_if_said_so(walk: Walk) -> None:
    walk.page.clock.set_fixed_time("2040-01-01T00:00:00Z")
    with_owner(walk)
    walk.press_make()
    assert "Ask the guardian's administrator" in walk.problem("guardian-1-expired")
    walk.page.get_by_label("Accept it all the same").check()
    walk.make()


@pytest.mark.parametrize(("file", "field"), [(METADATA, "guardian-file"), (CATALOG, "disk-file")])
def test_changed_files_of_others_are_not_taken(walk: Walk, file: str, field: str) -> None:
    data = (walk.folder / file).read_bytes()
    at = data.index(b"<SignatureValue>") + 40
    changed = data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :]
    (walk.folder / file).write_bytes(changed)
    walk.page.locator(f"#{field}").set_input_files(walk.folder / file)
    assert re.search("self-signed|changed|not signed|signature", walk.problem(field))
    assert walk.page.locator(".card").count() == 0


def test_a_guardian_is_named_once(walk: Walk) -> None:
    walk.add_guardian(walk.folder / METADATA)
    walk.page.locator("#guardian-file").set_input_files(walk.folder / METADATA)
    assert "in the list already" in walk.problem("guardian-file")


def test_what_is_missing_is_asked_for_in_order(walk: Walk) -> None:
    walk.press_make()
    assert "Make or open an owner" in walk.problem("owner-name")
    walk.open_owner(walk.folder / OWNER)
    expect(walk.page.locator("#owner-result")).to_be_visible()
    walk.press_make()
    assert "at least one guardian" in walk.problem("guardian-file")
    walk.add_guardian(walk.folder / METADATA)
    walk.press_make()
    assert "at least one template disk" in walk.problem("disk-file")
    walk.add_catalog(walk.folder / CATALOG)
    walk.press_make()
    assert "password of root" in walk.problem("root-password")
    walk.set_password("x" * 1025)
    walk.press_make()
    assert "at most 1024" in walk.problem("root-password")
    walk.set_password()
    walk.page.get_by_label("Password again").fill("another")
    walk.press_make()
    assert "not the same" in walk.problem("root-repeat")


def test_contents_that_no_host_could_use_are_refused(walk: Walk) -> None:
    with_owner(walk)
    walk.page.get_by_label("SSH keys that may sign in").fill("hello")
    walk.press_make()
    assert "not an SSH public key" in walk.problem("authorized-keys")
    walk.page.get_by_label("SSH keys that may sign in").fill("")
    (walk.folder / "large").write_bytes(bytes(384 * 1024))
    walk.page.get_by_label("Other files").set_input_files(walk.folder / "large")
    walk.press_make()
    assert "at most 384 KiB" in walk.problem("other-file")  # with the host key it is too much
    walk.page.get_by_role("button", name="Remove large").click()
    (walk.folder / "answers").write_text('GF_COMPUTER_NAME="@Nonsense@"\n')
    walk.page.get_by_label("Answer file", exact=True).set_input_files(walk.folder / "answers")
    walk.press_make()
    assert "@Nonsense@" in walk.problem("answer-file")
    expect(walk.page.locator("#make-result")).to_be_hidden()


def test_an_unsaved_owner_is_thrown_away_only_if_said_so(walk: Walk) -> None:
    page = walk.page
    page.get_by_label("Name", exact=True).fill("Contoso")
    page.get_by_label("Passphrase", exact=True).fill(PASSPHRASE)
    page.get_by_label("Passphrase again").fill(PASSPHRASE)
    page.get_by_role("button", name="Make the owner guardian").click()
    page.get_by_role("link", name="Save the owner guardian").wait_for(timeout=60_000)
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Use another owner guardian").click()
    expect(page.get_by_role("link", name="Save the owner guardian")).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Use another owner guardian").click()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    assert page.get_by_label("Passphrase", exact=True).input_value() == ""


def test_the_owner_cannot_be_a_guardian_too(walk: Walk) -> None:
    walk.open_owner(walk.folder / OWNER)
    (walk.folder / "own.xml").write_bytes(serialise_metadata(owner().guardian, communications()))
    walk.add_guardian(walk.folder / "own.xml")
    walk.add_catalog(walk.folder / CATALOG)
    walk.set_password()
    walk.press_make()
    assert "also named as a guardian" in walk.problem("make-button")
    assert walk.page.get_by_label("Password of root").input_value() == PASSWORD
