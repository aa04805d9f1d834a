"""``gf hgs export-state``, ``show-state`` and ``import-state`` on the node."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hgs.commands import state as exporting
from hgs.models import KeyPurpose, ServiceConfiguration, ServiceKey
from hgs.statefile.container import LEAST_WORK, Writer
from portal.cli import gf
from tests.hgs.service.states import PASSPHRASE, lose_everything, make_log
from tests.hgs.service.test_state import hgs

__all__ = ["hgs"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hgs")]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases of tests need no protection from guessing."""
    monkeypatch.setattr(exporting, "Writer", lambda out, secret, random, _: Writer(out, secret, random, LEAST_WORK))


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    return str(path)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lab.hgs-state")


def run(*arguments: str, typed: str = "", code: int = 0) -> Result:
    done = CliRunner().invoke(gf, ["hgs", *arguments], input=typed)
    assert done.exit_code == code, (done.output, done.exception)
    return done


def test_a_passphrase_is_asked_for_twice_and_shown_never(path: str) -> None:
    done = run("export-state", "-o", path, typed=f"{PASSPHRASE}\n{PASSPHRASE}\n")
    assert "1 configuration, 5 key" in done.stdout
    assert PASSPHRASE not in done.output
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert '"name": "lab"' in run("show-state", path, "--output", "json", typed=f"{PASSPHRASE}\n").stdout


def test_two_passphrases_that_differ_make_no_file(path: str) -> None:
    done = run("export-state", "-o", path, typed=f"{PASSPHRASE}\nanother passphrase\n", code=1)
    assert "do not match" in done.output
    assert not Path(path).exists()


def test_a_short_passphrase_and_a_file_that_is_there_are_refused(path: str, passphrase: str) -> None:
    assert "12 to 1024 characters" in run("export-state", "-o", path, typed="short\nshort\n", code=1).stderr
    run("export-state", "-o", path, "--passphrase-file", passphrase)
    assert "--force" in run("export-state", "-o", path, "--passphrase-file", passphrase, code=1).stderr
    run("export-state", "-o", path, "--passphrase-file", passphrase, "--force")


def test_what_is_shown_of_a_file_is_no_secret(path: str, passphrase: str) -> None:
    make_log(3)
    run("export-state", "-o", path, "--passphrase-file", passphrase)
    table = run("show-state", path, "--passphrase-file", passphrase).stdout
    shown = json.loads(run("show-state", path, "--passphrase-file", passphrase, "--output", "json").stdout)
    assert (shown["name"], shown["log"], shown["log_entries"], shown["counts"]["release"]) == ("lab", "whole", 3, 3)
    for row in ServiceKey.objects.exclude(fingerprint=""):
        assert row.fingerprint in table
    assert "private" not in table.lower()
    assert set(shown["keys"][0]) == {"purpose", "fingerprint", "primary", "enabled", "token"}
    stamp = ServiceConfiguration.objects.get().trust_stamp
    assert "Name of the log" in run("import-state", path, "--passphrase-file", passphrase, "--dry-run").stdout
    assert ServiceConfiguration.objects.get().trust_stamp == stamp


def test_an_import_says_what_came_and_what_is_left_to_do(path: str, passphrase: str, settings: Any) -> None:
    uri = "pkcs11:token=hgs;object=guardian"
    ServiceKey.objects.filter(purpose=KeyPurpose.GUARDIAN_SIGNING).update(sealed_key=b"", pkcs11_uri=uri)
    run("export-state", "-o", path, "--passphrase-file", passphrase, "--without-log")
    lose_everything(settings)
    settings.HGS_PKCS11_MODULE = ""
    told = run("import-state", path, "--passphrase-file", passphrase).stdout
    assert "This HGS is lab as of 2026-11-23 12:00:00 UTC." in told
    assert "1 configuration, 4 key" in told
    assert "hosts and policies that were removed are trusted again" in told
    assert "New attestation signer: " in told
    assert "A new key log begins: open-guarded-fabric/key-log/" in told
    assert f"guardian-signing, {uri}" in told
    assert "HGS_PKCS11_MODULE is not set on this node" in told
    assert "gf hgs admin add NAME" in told


def test_a_wrong_passphrase_is_said_to_be_one(path: str, passphrase: str, settings: Any) -> None:
    run("export-state", "-o", path, "--passphrase-file", passphrase)
    lose_everything(settings)
    for command in ("show-state", "import-state"):
        assert "The passphrase is wrong" in run(command, path, typed="another passphrase\n", code=1).stderr
    assert not ServiceConfiguration.objects.exists()


def test_a_replacement_has_to_be_typed_out(path: str, passphrase: str) -> None:
    run("export-state", "-o", path, "--passphrase-file", passphrase)
    before = ServiceConfiguration.objects.get().trust_stamp
    common = ("import-state", path, "--passphrase-file", passphrase)
    assert "--replace" in run(*common, code=1).stderr
    assert "not the name of this HGS" in run(*common, "--replace", typed="yes\n", code=1).stderr
    assert "not the name of this HGS" in run(*common, "--replace", "--confirm", "LAB", code=1).stderr
    assert ServiceConfiguration.objects.get().trust_stamp == before
    assert "replaces everything that lab is" in run(*common, "--replace", typed="lab\n").stdout
    run(*common, "--replace", "--confirm", "lab", "--keep-signer")


def test_a_log_goes_on_where_that_is_said(path: str, passphrase: str, settings: Any) -> None:
    make_log(3)
    origin = ServiceConfiguration.objects.get().log_origin
    run("export-state", "-o", path, "--passphrase-file", passphrase)
    lose_everything(settings)
    told = run("import-state", path, "--passphrase-file", passphrase, "--continue-log", "--keep-signer").stdout
    assert f"The key log {origin} goes on." in told
    assert "The attestation signer was kept." in told


@pytest.mark.parametrize("content", [b"", b"something else", bytes(4096)])
def test_another_file_is_told_from_a_damaged_one(tmp_path: Path, passphrase: str, content: bytes) -> None:
    other = tmp_path / "other"
    other.write_bytes(content)
    told = run("show-state", str(other), "--passphrase-file", passphrase, code=1).stderr
    assert "no file that gf hgs export-state wrote" in told
