"""The wizard: a conversation, typed as a person types it."""

import pytest

from fabric.shielding.answerfile import parse_linux_answer_file
from fabric.shielding.pdk import PdkType, Policy, ShieldingSecrets, open_pdk, parse_pdk
from hgs.keyprotection.protector import unwrap
from tests.fabric.shielding.test_content_roles import PASSWORD as PFX_PASSWORD
from tests.fabric.shielding.test_content_roles import pfx
from tests.hgs.keyprotection.guardians import communications, lab
from tests.tenants.cli.conftest import PASSPHRASE, PASSWORD, Desk

ENTER = ""


@pytest.fixture(autouse=True)
def _imported(desk: Desk) -> None:
    desk.import_lab()


def answers(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def people(desk: Desk) -> list[str]:
    return [desk.path("owner.guardian"), ENTER]


def disks(desk: Desk) -> list[str]:
    return [desk.path("debian.vsc"), "greater-than-or-equals", "y", ENTER]


LINUX = ["linux", ENTER, ENTER, ENTER, PASSWORD, PASSWORD]
NO_FILES = [ENTER, ENTER, ENTER, ENTER, ENTER]
"""No key, no script, no RDP certificate, no other file, no known_hosts."""


def opened(desk: Desk, name: str = "web.pdk") -> ShieldingSecrets:
    pdk = parse_pdk((desk.folder / name).read_bytes())
    return open_pdk(pdk, unwrap(pdk.protector, lab()))


def test_it_asks_step_by_step_and_writes_the_file(desk: Desk) -> None:
    typed = answers(
        desk.path("web.pdk"), ENTER, "2", *people(desk), *disks(desk), *LINUX, *NO_FILES, "y", ENTER, "y", PASSPHRASE
    )
    result = desk.gf("pdk", "new", "--wizard", typed=typed)
    assert result.exit_code == 0, result.stderr
    pdk = parse_pdk((desk.folder / "web.pdk").read_bytes())
    assert pdk.policy is Policy.ENCRYPTION_SUPPORTED
    assert pdk.qualifiers[0].rule == "GreaterThanOrEquals"
    assert pdk.escrows_recovery_key
    assert "GF_DNS" in parse_linux_answer_file(opened(desk).answer_file.reveal().decode())
    assert PASSWORD not in result.output
    assert PASSPHRASE not in result.output


def test_it_shows_the_guardians_with_their_fingerprints(desk: Desk) -> None:
    typed = answers(desk.path("web.pdk"), ENTER, ENTER, desk.path("owner.guardian"))
    result = desk.gf("pdk", "new", "--wizard", typed=typed)
    assert result.exit_code == 1  # nobody answers further
    assert lab().guardian.fingerprint[:8].upper() in result.stderr.upper().replace(":", "").replace(" ", "")
    assert communications().fingerprint[:8] not in result.stderr
    assert "nobody is there to ask" in result.stderr


def test_one_can_go_back_and_finds_the_answers_given_before(desk: Desk) -> None:
    typed = answers(
        *(desk.path("web.pdk"), ENTER, "encryption-supported", desk.path("owner.guardian"), "<"),
        *(ENTER, ENTER, ENTER, *people(desk), *disks(desk), "<", ENTER, ENTER, "n", *disks(desk)),
        *(*LINUX, *NO_FILES, ENTER, ENTER, ENTER, PASSPHRASE),
    )
    result = desk.gf("pdk", "new", "--wizard", typed=typed)
    assert result.exit_code == 0, result.stderr
    pdk = parse_pdk((desk.folder / "web.pdk").read_bytes())
    assert pdk.policy is Policy.ENCRYPTION_SUPPORTED
    assert len(pdk.qualifiers) == 1


def test_a_wrong_answer_is_explained_and_asked_again(desk: Desk) -> None:
    typed = answers(
        *(desk.path("nowhere/web.pdk"), desk.path("web.pdk"), "9", ENTER, ENTER),
        *(desk.path("missing"), desk.path("owner.guardian"), "nobody", "1"),
        *(desk.path("password"), *disks(desk)),
        *("linux", ENTER, 'Mars"', ENTER, "de_DE", "de_DE.UTF-8", PASSWORD, PASSWORD),
        *(*NO_FILES, "maybe", "n", ENTER, "y", PASSPHRASE),
    )
    result = desk.gf("pdk", "new", "--wizard", typed=typed)
    assert result.exit_code == 0, result.stderr
    for said in ("There is no folder", "from 1 to 2", "gf guardian new", "numbers from 1 to 1", "Answer y or n"):
        assert said in result.stderr
    assert parse_linux_answer_file(opened(desk).answer_file.reveal().decode())["GF_LOCALE"] == "de_DE.UTF-8"
    assert not parse_pdk((desk.folder / "web.pdk").read_bytes()).escrows_recovery_key


def test_for_existing_vms_it_asks_for_no_disk_and_no_answer_file(desk: Desk) -> None:
    typed = answers(
        desk.path("web.pdk"), "existing-vms", ENTER, *people(desk), *NO_FILES, ENTER, ENTER, "y", PASSPHRASE
    )
    result = desk.gf("pdk", "new", "--wizard", typed=typed)
    assert result.exit_code == 0, result.stderr
    assert parse_pdk((desk.folder / "web.pdk").read_bytes()).type is PdkType.FOR_EXISTING_VMS


def test_the_choices_can_be_saved_and_used_again(desk: Desk) -> None:
    (desk.folder / "id.pub").write_text("")
    typed = answers(
        *(desk.path("web.pdk"), ENTER, ENTER, *people(desk), *disks(desk)),
        *("file", desk.path("answers"), *NO_FILES, ENTER, desk.path("pdk.toml"), "y", PASSPHRASE),
    )
    desk.done("answer-file", "new", "linux", "--admin-password-file", desk.path("password"), "-o", desk.path("answers"))
    assert desk.gf("pdk", "new", "--wizard", typed=typed).exit_code == 0
    saved = (desk.folder / "pdk.toml").read_text()
    assert 'owner = "owner.guardian"' in saved
    assert PASSWORD not in saved
    assert PASSPHRASE not in saved
    arguments = ("--from", desk.path("pdk.toml"), "--passphrase-file", desk.path("passphrase"))
    desk.done("pdk", "new", *arguments, "-o", desk.path("again.pdk"))
    assert opened(desk, "again.pdk").answer_file == opened(desk).answer_file


def test_windows_answers_with_a_certificate_of_ones_own(desk: Desk) -> None:
    (desk.folder / "rdp.pfx").write_bytes(pfx().reveal())
    windows = ["windows", "4", ENTER, "de_DE", "de-DE", "n", "y", "n", ENTER, PASSWORD, PASSWORD]
    files = [
        ENTER,
        ENTER,
        desk.path("rdp.pfx"),
        "wrong",
        desk.path("rdp.pfx"),
        PFX_PASSWORD.reveal().decode(),
        ENTER,
        ENTER,
    ]
    typed = answers(
        *(desk.path("web.pdk"), ENTER, ENTER, *people(desk), *disks(desk)),
        *(*windows, *files, ENTER, ENTER, ENTER, PASSPHRASE),
    )
    result = desk.gf("pdk", "new", "--wizard", typed=typed)
    assert result.exit_code == 0, result.stderr
    secrets = opened(desk)
    assert secrets.answer_file.reveal().startswith(b"<?xml")
    assert secrets.rdp_certificate == (pfx(), PFX_PASSWORD)
    assert secrets.ssh_host_key is None


def test_giving_up_at_the_review_leaves_no_file(desk: Desk) -> None:
    typed = answers(
        desk.path("web.pdk"), ENTER, ENTER, *people(desk), *disks(desk), *LINUX, *NO_FILES, ENTER, ENTER, "n"
    )
    assert desk.gf("pdk", "new", "--wizard", typed=typed).exit_code == 1
    assert not (desk.folder / "web.pdk").exists()


def test_without_a_guardian_it_says_how_to_get_one(desk: Desk) -> None:
    typed = answers(desk.path("web.pdk"), ENTER, ENTER, desk.path("owner.guardian"))
    result = desk.gf("pdk", "new", "--wizard", "--store", desk.path("empty"), typed=typed)
    assert result.exit_code == 1
    assert "gf guardian import" in result.stderr


def test_it_starts_by_itself_on_a_terminal_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = desk.gf("pdk", "new")
    assert plain.exit_code == 2
    assert "--owner" in plain.stderr
    monkeypatch.setattr("tenants.cli.pdk.creating._on_a_terminal", lambda: True)
    asked = desk.gf("pdk", "new", typed="")
    assert "1  File, type and policy" in asked.stderr
    flagged = desk.gf("pdk", "new", "--force", typed="")
    assert "File, type and policy" not in flagged.stderr
