"""`gf recovery`: from a recovery key, the shielding data and the owner guardian to the passphrase of a disk."""

import json
import shutil
import stat
import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import Result

from fabric.shielding.pdk import parse_pdk
from fabric.shielding.recovery import escrow
from hgs.keyprotection.protector import unwrap
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import counted_random, lab
from tests.tenants.cli.conftest import Desk

VM = UUID("11112222-3333-4444-5555-666677778888")
KEY = Secret(b"\n\0canary recovery key, 32 bytes!")


@pytest.fixture(autouse=True)
def _escrowed(desk: Desk) -> None:
    desk.import_lab()
    assert desk.new_pdk().exit_code == 0
    pdk = parse_pdk((desk.folder / "web.pdk").read_bytes())
    document = escrow(VM, pdk, unwrap(pdk.protector, lab()), KEY, counted_random("cli"))
    (desk.folder / "web.recovery").write_bytes(document)


def unprotect(desk: Desk, *more: str) -> Result:
    return desk.gf(
        *("recovery", "unprotect", "--key", desk.path("web.recovery"), "--owner", desk.path("owner.guardian")),
        *("--passphrase-file", desk.path("passphrase"), "-o", desk.path("passphrase.key"), *more),
    )


def test_the_owner_gets_the_passphrase_of_the_disk(desk: Desk) -> None:
    result = unprotect(desk, "--pdk", desk.path("web.pdk"))
    assert result.exit_code == 0, result.stderr
    written = desk.folder / "passphrase.key"
    assert written.read_bytes() == KEY.reveal()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert "cryptsetup open --key-file" in result.stdout
    assert "canary" not in result.output


def test_the_right_file_is_found_in_a_folder_of_many(desk: Desk) -> None:
    archive = desk.folder / "archive" / "2026"
    archive.mkdir(parents=True)
    for number in range(2):
        assert desk.new_pdk(out=f"archive/{number}.pdk").exit_code == 0
    (archive / "broken.pdk").write_bytes(b"<ShieldingData ")
    (archive / "dangling").symlink_to("nowhere")
    shutil.move(desk.folder / "web.pdk", archive / "renamed")
    result = unprotect(desk, "--search", desk.path("archive"), "--output", "json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["pdk"] == str(archive / "renamed")


def test_without_the_right_file_nothing_is_written(desk: Desk) -> None:
    assert desk.new_pdk(out="other.pdk").exit_code == 0
    for source in (("--pdk", desk.path("other.pdk")), ("--search", str(desk.folder / "config"))):
        result = unprotect(desk, *source)
        assert result.exit_code == 1
        assert parse_pdk((desk.folder / "web.pdk").read_bytes()).protector.id in result.stderr
    assert not (desk.folder / "passphrase.key").exists()


def test_a_file_changed_in_place_still_finds_the_one_it_needs(desk: Desk) -> None:
    owner = ("--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase"))
    desk.done("pdk", "change", desk.path("web.pdk"), *owner, "--policy", "encryption-supported", "--force")
    assert unprotect(desk, "--pdk", desk.path("web.pdk")).exit_code == 1
    assert unprotect(desk, "--search", str(desk.folder)).exit_code == 0


def test_one_place_to_look_has_to_be_named(desk: Desk) -> None:
    assert unprotect(desk).exit_code == 2
    assert unprotect(desk, "--pdk", desk.path("web.pdk"), "--search", str(desk.folder)).exit_code == 2


def test_an_existing_file_is_kept(desk: Desk) -> None:
    (desk.folder / "passphrase.key").write_text("mine")
    assert unprotect(desk, "--pdk", desk.path("web.pdk")).exit_code == 1
    assert (desk.folder / "passphrase.key").read_text() == "mine"


def test_show_says_what_it_is_for(desk: Desk) -> None:
    shown = json.loads(desk.done("recovery", "show", desk.path("web.recovery"), "--output", "json"))
    assert shown["vm_id"] == str(VM)
    assert shown["protector_id"] == parse_pdk((desk.folder / "web.pdk").read_bytes()).protector.id


@pytest.mark.skipif(shutil.which("cryptsetup") is None, reason="cryptsetup is not installed")
def test_the_file_is_a_key_file_as_cryptsetup_takes_it(desk: Desk) -> None:
    disk = desk.folder / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(20 << 20)
    (desk.folder / "second").write_bytes(KEY.reveal())
    fast = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--batch-mode")
    run("luksFormat", *fast, "--type", "luks2", disk, desk.folder / "second")
    assert unprotect(desk, "--pdk", desk.path("web.pdk")).exit_code == 0
    run("open", "--test-passphrase", "--key-file", desk.folder / "passphrase.key", disk)


def run(*arguments: str | Path) -> None:
    subprocess.run(["cryptsetup", *arguments], check=True, capture_output=True)
