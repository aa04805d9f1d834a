import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fabric.shielding.answerfile import parse_linux_answer_file
from fabric.shielding.pdk import PdkType, Policy, ShieldingSecrets, open_pdk, parse_pdk
from fabric.shielding.ssh import host_key_line, new_host_key
from fabric.shielding.viq import VersionRule
from hgs.keyprotection.protector import unwrap
from hgs.keyprotection.secret import Secret
from tests.fabric.shielding.test_content_roles import PASSWORD as PFX_PASSWORD
from tests.fabric.shielding.test_content_roles import pfx
from tests.hgs.keyprotection.guardians import lab, owner
from tests.tenants.cli.conftest import PASSWORD, Desk


@pytest.fixture(autouse=True)
def _imported(desk: Desk) -> None:
    desk.import_lab()


def opened(desk: Desk, name: str = "web.pdk") -> ShieldingSecrets:
    pdk = parse_pdk((desk.folder / name).read_bytes())
    return open_pdk(pdk, unwrap(pdk.protector, lab()))


def test_shielding_data_holds_what_was_asked_for(desk: Desk) -> None:
    (desk.folder / "id.pub").write_text(host_key_line(new_host_key()) + " me\n")
    (desk.folder / "app.conf").write_text("setting")
    result = desk.new_pdk(
        *("--authorized-key", desk.path("id.pub"), "--file", desk.path("app.conf")),
        *("--file", f"other={desk.path('app.conf')}", "--policy", "encryption-supported"),
        *("--rule", "greater-than-or-equals"),
    )
    assert result.exit_code == 0, result.stderr
    pdk = parse_pdk((desk.folder / "web.pdk").read_bytes())
    assert pdk.policy is Policy.ENCRYPTION_SUPPORTED
    assert pdk.owner_fingerprint == owner().guardian.fingerprint
    assert [(q.disk_name, q.version, q.rule) for q in pdk.qualifiers] == [
        ("Debian 12", "1.0.0.0", VersionRule.GREATER_THAN_OR_EQUALS)
    ]
    secrets = opened(desk)
    assert set(secrets.named_files) == {"app.conf", "other"}
    assert secrets.authorized_keys is not None
    answers = parse_linux_answer_file(secrets.answer_file.reveal().decode())
    assert answers["GF_COMPUTER_NAME"] == "@ComputerName@"


def test_the_password_is_hashed_and_appears_nowhere(desk: Desk) -> None:
    result = desk.new_pdk()
    assert PASSWORD not in result.output
    assert PASSWORD.encode() not in (desk.folder / "web.pdk").read_bytes()
    secrets = opened(desk)
    assert PASSWORD.encode() not in secrets.answer_file.reveal()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_hash_is_the_one_of_the_password(desk: Desk) -> None:
    desk.new_pdk()
    hashed = parse_linux_answer_file(opened(desk).answer_file.reveal().decode())["GF_ROOT_PASSWORD_HASH"]
    _, scheme, rounds, salt, _ = hashed.split("$")
    assert (scheme, rounds) == ("6", "rounds=100000")
    # `openssl passwd` takes the rounds as part of the salt.
    command = ["openssl", "passwd", "-6", "-salt", f"{rounds}${salt}", "-stdin"]
    done = subprocess.run(command, input=PASSWORD.encode(), capture_output=True, check=True)
    assert done.stdout.decode().strip() == hashed


def test_the_password_is_asked_for_without_echo(desk: Desk) -> None:
    result = desk.gf(
        *("pdk", "new", "--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase")),
        *("--guardian", "lab", "--catalog", desk.path("debian.vsc"), "-o", desk.path("web.pdk")),
        typed=f"{PASSWORD}\n{PASSWORD}\n",
    )
    assert result.exit_code == 0, result.stderr
    assert PASSWORD not in result.output


def test_the_owner_keeps_the_public_half_of_the_host_key(desk: Desk) -> None:
    result = desk.new_pdk("--known-hosts", desk.path("known_hosts"), "--output", "json")
    line = json.loads(result.stdout)["known_hosts"]
    assert (desk.folder / "known_hosts").read_text() == line + "\n"
    host_key = opened(desk).ssh_host_key
    assert host_key is not None
    assert line == f"web {host_key_line(host_key)}"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_openssh_reads_the_host_key(desk: Desk) -> None:
    desk.new_pdk()
    key_file = desk.folder / "key"
    host_key = opened(desk).ssh_host_key
    assert host_key is not None
    key_file.write_bytes(host_key.reveal())
    key_file.chmod(0o600)
    done = subprocess.run(["ssh-keygen", "-y", "-f", key_file], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == host_key_line(host_key)


def test_a_host_key_of_the_owners_is_used(desk: Desk) -> None:
    key = new_host_key()
    (desk.folder / "host_key").write_bytes(key.reveal())
    assert desk.new_pdk("--ssh-host-key", desk.path("host_key")).exit_code == 0
    assert opened(desk).ssh_host_key == key


def test_a_trusted_disk_can_be_named_without_its_catalog(desk: Desk) -> None:
    assert desk.new_pdk("--qualifier", f"Debian 13,{'ab' * 32},3.0.0.0,greater-than").exit_code == 0
    qualifiers = parse_pdk((desk.folder / "web.pdk").read_bytes()).qualifiers
    assert (qualifiers[1].disk_name, qualifiers[1].rule) == ("Debian 13", VersionRule.GREATER_THAN)


@pytest.mark.parametrize(
    "qualifier",
    ["Debian", "Debian,xy,1.0.0.0,equals", f"Debian,{'ab' * 32},1.0.0.0,about", f"Debian,{'ab' * 32},1.0,equals"],
)
def test_a_malformed_qualifier_is_refused(desk: Desk, qualifier: str) -> None:
    assert desk.new_pdk("--qualifier", qualifier).exit_code in {1, 2}
    assert not (desk.folder / "web.pdk").exists()


def test_it_is_made_for_imported_guardians_only(desk: Desk) -> None:
    common = ("pdk", "new", "--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase"))
    common += ("--catalog", desk.path("debian.vsc"), "--admin-password-file", desk.path("password"))
    unknown = desk.gf(*common, "-o", desk.path("a.pdk"), "--guardian", "nobody")
    assert unknown.exit_code == 1
    assert "gf guardian import" in unknown.stderr
    never = desk.gf(
        *common, "-o", desk.path("b.pdk"), "--guardian", desk.path("hgs.xml"), "--store", desk.path("empty")
    )
    assert never.exit_code == 1
    assert "never compared" in never.stderr
    assert desk.gf(*common, "-o", desk.path("c.pdk"), "--guardian", desk.path("hgs.xml")).exit_code == 0


def test_without_a_trusted_disk_nothing_is_made(desk: Desk) -> None:
    result = desk.gf(
        *("pdk", "new", "--owner", desk.path("owner.guardian"), "--guardian", "lab", "-o", desk.path("web.pdk"))
    )
    assert result.exit_code == 2
    assert "--catalog" in result.stderr


def test_a_wrong_passphrase_leaves_no_file(desk: Desk) -> None:
    (desk.folder / "passphrase").write_text("something else\n")
    result = desk.new_pdk()
    assert result.exit_code == 1
    assert "does not open this owner guardian" in result.stderr
    assert [path.name for path in desk.folder.iterdir() if "pdk" in path.name] == []


def test_an_existing_file_is_kept(desk: Desk) -> None:
    assert desk.new_pdk().exit_code == 0
    before = (desk.folder / "web.pdk").read_bytes()
    assert desk.new_pdk().exit_code == 1
    assert (desk.folder / "web.pdk").read_bytes() == before
    assert desk.new_pdk("--force").exit_code == 0


def test_a_catalog_changed_after_signing_is_refused(desk: Desk) -> None:
    file = desk.folder / "debian.vsc"
    file.write_bytes(file.read_bytes().replace(b"<Version>1.0.0.0", b"<Version>1.0.0.1"))
    result = desk.new_pdk()
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_too_many_bytes_of_files_are_refused(desk: Desk) -> None:
    for name in ("a", "b"):
        (desk.folder / name).write_bytes(bytes(200 * 1024))
    result = desk.new_pdk("--file", desk.path("a"), "--file", desk.path("b"))
    assert result.exit_code == 1
    assert "384 KiB" in result.stderr


@pytest.mark.parametrize("argument", ["authorized_keys={}", "ssh_host_ed25519_key={}"])
def test_names_with_a_role_have_their_own_option(desk: Desk, argument: str) -> None:
    assert desk.new_pdk("--file", argument.format(desk.path("password"))).exit_code == 2


def test_an_own_answer_file_is_used_as_it_is(desk: Desk) -> None:
    desk.done("answer-file", "new", "linux", "--admin-password-file", desk.path("password"), "-o", desk.path("answers"))
    text = (desk.folder / "answers").read_text().replace("@TimeZone@", "Europe/Berlin")
    (desk.folder / "answers").write_text(text)
    arguments = (
        *("pdk", "new", "--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase")),
        *("--guardian", "lab", "--catalog", desk.path("debian.vsc"), "-o", desk.path("web.pdk")),
        *("--answer-file", desk.path("answers")),
    )
    assert desk.gf(*arguments, "--admin-password-file", desk.path("password")).exit_code == 2
    assert desk.gf(*arguments).exit_code == 0
    assert opened(desk).answer_file.reveal().decode() == text


def test_a_bad_answer_file_is_refused_with_its_line(desk: Desk) -> None:
    (desk.folder / "answers").write_text('GF_DNS="10.0.0.1"\nROOT="x"\n')
    result = desk.gf(
        *("pdk", "new", "--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase")),
        *("--guardian", "lab", "--catalog", desk.path("debian.vsc"), "-o", desk.path("web.pdk")),
        *("--answer-file", desk.path("answers")),
    )
    assert result.exit_code == 1
    assert "Line 2" in result.stderr


def test_inspect_shows_the_public_part_to_anybody(desk: Desk) -> None:
    desk.new_pdk()
    shown = json.loads(desk.done("pdk", "inspect", desk.path("web.pdk"), "--output", "json"))
    assert shown["policy"] == "Shielded"
    assert shown["guardians"][0].endswith("(lab)")
    assert "answer_file" not in shown


def test_inspect_shows_the_owner_what_is_inside_but_no_secret(desk: Desk) -> None:
    desk.new_pdk()
    arguments = ("--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase"))
    text = desk.done("pdk", "inspect", desk.path("web.pdk"), *arguments)
    assert "GF_ROOT_PASSWORD_HASH=(hidden)" in text
    assert "ssh_host_ed25519_key (" in text
    assert "$6$" not in text
    assert "PRIVATE KEY" not in text


def test_inspect_refuses_what_is_no_shielding_data(desk: Desk) -> None:
    result = desk.gf("pdk", "inspect", desk.path("debian.vsc"))
    assert result.exit_code == 1
    assert "not a ShieldingData document" in result.stderr


def test_a_disk_that_is_accepted_is_told_by_which_rule(desk: Desk) -> None:
    desk.new_pdk()
    text = desk.done("pdk", "test", desk.path("web.pdk"), "--catalog", desk.path("debian.vsc"))
    assert "Debian 12 1.0.0.0" in text
    assert "exactly 1.0.0.0" in text


@pytest.mark.parametrize(
    ("catalog", "reason"), [("debian2.vsc", "has version 2.0.0.0"), ("other.vsc", "is called 'Other'")]
)
def test_a_disk_that_is_not_accepted_is_told_why(desk: Desk, catalog: str, reason: str) -> None:
    desk.new_pdk()
    result = desk.gf("pdk", "test", desk.path("web.pdk"), "--catalog", desk.path(catalog))
    assert result.exit_code == 1
    assert reason in result.stderr
    as_json = desk.gf("pdk", "test", desk.path("web.pdk"), "--catalog", desk.path(catalog), "--output", "json")
    assert json.loads(as_json.stdout)["accepted"] is False


def test_secrets_are_no_options() -> None:
    from tenants.cli.answer_file import answer_file, new
    from tenants.cli.guardian import guardian
    from tenants.cli.pdk import pdk
    from tenants.cli.recovery import recovery

    for group in (guardian, pdk, recovery, answer_file, new):
        for command in group.commands.values():
            for parameter in command.params:
                for name in parameter.opts:
                    assert not re.search("pass(word|phrase)", name) or name.endswith("-file"), name


def test_no_partial_file_is_left(desk: Desk, tmp_path: Path) -> None:
    desk.new_pdk()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_file_for_existing_vms_names_no_disk_and_needs_no_password(desk: Desk) -> None:
    common = ("pdk", "new", "--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase"))
    common += ("--guardian", "lab", "--type", "existing-vms", "-o", desk.path("web.pdk"))
    refused = desk.gf(*common, "--catalog", desk.path("debian.vsc"))
    assert refused.exit_code == 2
    assert "no template disks" in refused.stderr
    desk.done(*common)
    pdk = parse_pdk((desk.folder / "web.pdk").read_bytes())
    assert pdk.type is PdkType.FOR_EXISTING_VMS
    assert opened(desk).ssh_host_key is None
    tested = desk.gf("pdk", "test", desk.path("web.pdk"), "--catalog", desk.path("debian.vsc"))
    assert tested.exit_code == 1
    assert "exist already" in tested.stderr


def test_a_certificate_and_a_script_go_into_it(desk: Desk) -> None:
    (desk.folder / "rdp.pfx").write_bytes(pfx().reveal())
    (desk.folder / "pfx-password").write_bytes(PFX_PASSWORD.reveal() + b"\n")
    (desk.folder / "setup.sh").write_text("#!/bin/sh\n")
    files = ("--rdp-certificate", desk.path("rdp.pfx"), "--configuration-script", desk.path("setup.sh"))
    result = desk.new_pdk(*files, "--rdp-password-file", desk.path("pfx-password"))
    assert result.exit_code == 0, result.stderr
    assert opened(desk).rdp_certificate == (pfx(), PFX_PASSWORD)
    assert opened(desk).configuration_script == Secret(b"#!/bin/sh\n")
    wrong = desk.new_pdk(*files, "--rdp-password-file", desk.path("password"), out="wrong.pdk")
    assert wrong.exit_code == 1
    assert "does not open its PFX file" in wrong.stderr
    assert not (desk.folder / "wrong.pdk").exists()
    arguments = ("--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase"))
    shown = desk.done("pdk", "inspect", desk.path("web.pdk"), *arguments)
    assert "CN=*.contoso.com, until 2026-03-02" in shown
    assert PFX_PASSWORD.reveal().decode() not in shown


def test_a_windows_answer_file_without_the_files_it_uses_is_refused(desk: Desk) -> None:
    options = (
        "--admin-password-file",
        desk.path("password"),
        "--configuration-script",
        "-o",
        desk.path("unattend.xml"),
    )
    desk.done("answer-file", "new", "windows", *options)
    arguments = (
        *("pdk", "new", "--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase")),
        *("--guardian", "lab", "--catalog", desk.path("debian.vsc"), "-o", desk.path("web.pdk")),
        *("--answer-file", desk.path("unattend.xml")),
    )
    refused = desk.gf(*arguments)
    assert refused.exit_code == 1
    assert "--configuration-script" in refused.stderr
    desk.done(*arguments, "--configuration-script", desk.path("password"))


def test_no_recovery_key_is_left_where_the_owner_says_no(desk: Desk) -> None:
    desk.new_pdk()
    assert parse_pdk((desk.folder / "web.pdk").read_bytes()).escrows_recovery_key
    desk.new_pdk("--no-escrow-recovery-key", "--force")
    assert not parse_pdk((desk.folder / "web.pdk").read_bytes()).escrows_recovery_key
