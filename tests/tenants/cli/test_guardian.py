import json
import stat

import pytest

from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.metadata import parse_metadata, serialise_metadata
from hgs.keyprotection.owner_guardian import parse_owner_guardian
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import communications, lab, owner, stranger
from tests.tenants.cli.conftest import PASSPHRASE, Desk


def test_a_new_guardian_is_written_for_its_owner_only(desk: Desk) -> None:
    desk.done("guardian", "new", "contoso", "-o", desk.path("c.guardian"), "--passphrase-file", desk.path("passphrase"))
    file = desk.folder / "c.guardian"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys = parse_owner_guardian(file.read_bytes()).unlock(Secret(PASSPHRASE.encode()))
    assert keys.signing_key.key_size == 3072


def test_the_passphrase_is_asked_for_twice_and_not_echoed(desk: Desk) -> None:
    result = desk.gf("guardian", "new", "contoso", "-o", desk.path("c.guardian"), typed="hunter2-long\nhunter2-long\n")
    assert result.exit_code == 0
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("guardian", "new", "contoso", "-o", "new.guardian"), "--passphrase-file"),
        (("guardian", "import", "hgs.xml", "--name", "lab"), "--fingerprint"),
    ],
)
def test_a_question_that_nobody_answers_names_the_option(
    desk: Desk, arguments: tuple[str, ...], option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    result = desk.gf(*arguments, typed="")
    assert result.exit_code == 1
    assert f"what to do: Give {option}" in result.stderr


def test_a_folder_that_is_missing_is_named(desk: Desk) -> None:
    result = desk.gf(
        *("guardian", "new", "contoso", "-o", desk.path("none/new.guardian")),
        *("--passphrase-file", desk.path("passphrase")),
    )
    assert result.exit_code == 1
    assert f"There is no folder {desk.path('none')}." in result.stderr


def test_a_short_passphrase_leaves_no_file(desk: Desk) -> None:
    result = desk.gf("guardian", "new", "contoso", "-o", desk.path("c.guardian"), typed="short\nshort\n")
    assert result.exit_code == 1
    assert "fewer than 8" in result.stderr
    assert not (desk.folder / "c.guardian").exists()


def test_a_file_is_not_overwritten_unasked(desk: Desk) -> None:
    before = (desk.folder / "owner.guardian").read_bytes()
    arguments = (
        "guardian",
        "new",
        "x",
        "-o",
        desk.path("owner.guardian"),
        "--passphrase-file",
        desk.path("passphrase"),
    )
    result = desk.gf(*arguments)
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert (desk.folder / "owner.guardian").read_bytes() == before
    assert desk.gf(*arguments, "--force").exit_code == 0


def test_importing_with_the_right_fingerprint_pins_it(desk: Desk) -> None:
    desk.import_lab()
    listed = json.loads(desk.done("guardian", "list", "--output", "json"))
    assert [(row["name"], row["fingerprint"]) for row in listed] == [("lab", grouped(communications().fingerprint))]


def test_another_fingerprint_is_refused(desk: Desk) -> None:
    result = desk.gf("guardian", "import", desk.path("hgs.xml"), "--name", "lab", "--fingerprint", "00" * 32)
    assert result.exit_code == 1
    assert "found: " + grouped(communications().fingerprint) in result.stderr
    assert json.loads(desk.done("guardian", "list", "--output", "json")) == []


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_without_a_fingerprint_a_person_compares_it(desk: Desk, typed: str, code: int) -> None:
    result = desk.gf("guardian", "import", desk.path("hgs.xml"), "--name", "lab", typed=typed)
    assert result.exit_code == code
    assert grouped(communications().fingerprint) in result.stderr
    assert len(json.loads(desk.done("guardian", "list", "--output", "json"))) == (1 if code == 0 else 0)


def test_a_name_keeps_its_fingerprint_unless_replaced(desk: Desk) -> None:
    desk.import_lab()
    desk.done(
        *("guardian", "export", desk.path("owner.guardian"), "-o", desk.path("mine.xml")),
        *("--passphrase-file", desk.path("passphrase")),
    )
    arguments = (
        "guardian",
        "import",
        desk.path("mine.xml"),
        "--name",
        "lab",
        "--fingerprint",
        owner().guardian.fingerprint,
    )
    result = desk.gf(*arguments)
    assert result.exit_code == 1
    assert "another fingerprint" in result.stderr
    desk.done(*arguments, "--replace")


def test_metadata_changed_in_the_store_is_noticed(desk: Desk) -> None:
    desk.import_lab()
    stored = desk.folder / "config" / "gf" / "guardians" / "lab" / "metadata.xml"
    from hgs.keyprotection.metadata import CommunicationsKey

    attacker = CommunicationsKey(stranger().guardian.signing_certificate, stranger().signing_key)
    stored.write_bytes(serialise_metadata(stranger().guardian, attacker))
    result = desk.gf("guardian", "show", "lab")
    assert result.exit_code == 1
    assert "changed since it was imported" in result.stderr


def test_newer_metadata_under_the_same_fingerprint_is_taken(desk: Desk) -> None:
    desk.import_lab()
    (desk.folder / "hgs.xml").write_bytes(serialise_metadata(stranger().guardian, communications()))
    desk.import_lab()
    shown = json.loads(desk.done("guardian", "show", "lab", "--output", "json"))
    assert shown["signing_certificate"] == grouped(stranger().guardian.fingerprint)


def test_an_imported_guardian_is_exported_unchanged(desk: Desk) -> None:
    desk.import_lab()
    desk.done("guardian", "export", "lab", "-o", desk.path("again.xml"))
    assert (desk.folder / "again.xml").read_bytes() == (desk.folder / "hgs.xml").read_bytes()


def test_an_owner_guardian_is_exported_without_its_private_keys(desk: Desk) -> None:
    desk.done(
        *("guardian", "export", desk.path("owner.guardian"), "-o", desk.path("mine.xml")),
        *("--passphrase-file", desk.path("passphrase")),
    )
    verified = parse_metadata((desk.folder / "mine.xml").read_bytes()).verify("owner")
    assert verified.guardian == owner().guardian
    assert verified.fingerprint == owner().guardian.fingerprint


def test_show_needs_no_passphrase(desk: Desk) -> None:
    assert grouped(owner().guardian.fingerprint) in desk.done("guardian", "show", desk.path("owner.guardian"))
    assert grouped(lab().guardian.fingerprint) in desk.done("guardian", "show", desk.path("hgs.xml"))


def test_files_that_are_none_are_refused_in_a_sentence(desk: Desk) -> None:
    for arguments in (
        ("guardian", "show", desk.path("password")),
        ("guardian", "import", desk.path("owner.guardian"), "--name", "x"),
        (
            "guardian",
            "export",
            desk.path("hgs.xml"),
            "-o",
            desk.path("y"),
            "--passphrase-file",
            desk.path("passphrase"),
        ),
        ("guardian", "show", "nobody"),
    ):
        result = desk.gf(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")


def test_the_store_can_be_elsewhere(desk: Desk) -> None:
    fingerprint = communications().fingerprint
    store = desk.path("store")
    desk.done(
        "guardian", "import", desk.path("hgs.xml"), "--name", "lab", "--fingerprint", fingerprint, "--store", store
    )
    assert desk.gf("guardian", "show", "lab").exit_code == 1
    desk.done("guardian", "show", "lab", "--store", store)
