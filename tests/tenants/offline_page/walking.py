"""A person who works through the offline page, step by step, in a real browser."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Download, Locator, Page, expect

from hgs.keyprotection.certificates import grouped
from tests.hgs.keyprotection.guardians import communications

PASSPHRASE = "correct horse – battery"
PASSWORD = "canary-password-4711"
METADATA, CATALOG, OWNER = "fabric-guardian.xml", "debian.vsc", "owner.guardian"
SLOW = 120_000
"""Milliseconds. Two RSA keys of 3072 bits may take long on a busy machine."""


@dataclass(frozen=True)
class Walk:
    """The page, the folder where what it makes is saved, and what the browser's console said."""

    page: Page
    folder: Path
    complaints: list[str] = field(default_factory=list)

    def make_owner(self, name: str = "Contoso", passphrase: str = PASSPHRASE) -> Path:
        """Make an owner guardian and save it."""
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_label("Passphrase", exact=True).fill(passphrase)
        self.page.get_by_label("Passphrase again").fill(passphrase)
        self.page.get_by_role("button", name="Make the owner guardian").click()
        return self.save("Save the owner guardian")

    def open_owner(self, file: Path, passphrase: str = PASSPHRASE) -> None:
        self.page.get_by_label("Open one that I have").check()
        self.page.get_by_label("Owner guardian file").set_input_files(file)
        self.page.get_by_label("Passphrase", exact=True).fill(passphrase)
        self.page.get_by_role("button", name="Open the owner guardian").click()

    def add_guardian(self, file: Path, fingerprint: str | None = None) -> None:
        """Add metadata; with a fingerprint, as it was given, else compared by eye."""
        self.page.locator("#guardian-file").set_input_files(file)
        card = self.page.locator("#guardians li").last
        expect(card).to_be_visible()
        if fingerprint is None:
            card.get_by_label("I compared").check()
        else:
            card.get_by_label("that the HGS administrator gave you").fill(fingerprint)

    def add_catalog(self, file: Path, rule: str = "Equals") -> None:
        before = self.page.locator("#disks li").count()
        self.page.get_by_label("Accept which versions").select_option(rule)
        self.page.locator("#disk-file").set_input_files(file)
        expect(self.page.locator("#disks li")).to_have_count(before + 1)

    def set_password(self, password: str = PASSWORD) -> None:
        self.page.get_by_label("Password of root").fill(password)
        self.page.get_by_label("Password again").fill(password)

    def use_answer_file(self) -> None:
        """An answer file of the tenant's own, which saves the hundred thousand rounds of a password's hash."""
        file = self.folder / "answers"
        file.write_text('GF_COMPUTER_NAME="@ComputerName@"\n')
        self.page.locator("input[name=answer-source][value=file]").check()
        self.page.get_by_label("Answer file", exact=True).set_input_files(file)

    def press_make(self) -> None:
        self.page.get_by_role("button", name="Make the shielding data file").click()

    def make(self, name: str = "web.pdk") -> Path:
        """Make the file and save it."""
        self.page.get_by_label("File name").fill(name)
        self.press_make()
        return self.save(f"Save {name}")

    def save(self, link: str) -> Path:
        """What a link saves, under the name that it gives."""
        self.page.get_by_role("link", name=link).wait_for(timeout=SLOW)
        with self.page.expect_download() as started:
            self.page.get_by_role("link", name=link).click()
        download: Download = started.value
        path = self.folder / download.suggested_filename
        download.save_as(path)
        return path

    def problem(self, name: str) -> str:
        """What is said at the field, which must have the focus."""
        place = self.page.locator(f"#{name}-problem")
        expect(place).to_be_visible(timeout=SLOW)
        expect(self.page.locator(f"#{name}")).to_be_focused()
        expect(self.page.locator(f"#{name}")).to_have_attribute("aria-invalid", "true")
        return place.inner_text()


def prepared(walk: Walk, password: str = "") -> None:
    """All but the owner is given: with a password of root, or else with an answer file."""
    walk.add_guardian(walk.folder / METADATA, grouped(communications().fingerprint))
    walk.add_catalog(walk.folder / CATALOG)
    if password:
        walk.set_password(password)
    else:
        walk.use_answer_file()


def with_owner(walk: Walk) -> Walk:
    walk.open_owner(walk.folder / OWNER)
    prepared(walk)
    return walk


def reviewed(walk: Walk, title: str) -> Locator:
    """What the review says under a title."""
    return walk.page.locator("#review dt", has_text=re.compile(f"^{title}$", re.IGNORECASE)).locator("+ dd")
