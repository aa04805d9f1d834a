"""``gf ci-policy``: making, showing, converting, comparing and trying policies, without a server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hgs.attestation.ci_policy import parse_ci_policy, read_policy_xml
from hgs.cli.ci_policy import ci_policy
from tests.hgs.attestation.ci_policy.policies import everything, wrapped
from tests.hgs.cli.ci_policy.images import CONSOLE, Signing, small_pe


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(ci_policy, [str(item) for item in arguments])


def succeed(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def answer(*arguments: str | Path, code: int = 0) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """A folder as of a reference host: an unsigned driver, a program, and files that are no images."""
    folder = tmp_path / "reference"
    (folder / "drivers").mkdir(parents=True)
    (folder / "drivers" / "foo.sys").write_bytes(small_pe(b"foo"))
    (folder / "tool.exe").write_bytes(small_pe(b"tool", subsystem=CONSOLE))
    (folder / "readme.txt").write_text("no image")
    (folder / "broken.dll").write_bytes(b"MZ broken")
    (folder / "link.sys").symlink_to(folder / "drivers" / "foo.sys")
    return folder


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    return Signing(tmp_path)


def test_a_policy_made_from_a_folder_allows_what_is_in_it_and_nothing_else(reference: Path, tmp_path: Path) -> None:
    xml, binary = tmp_path / "p.xml", tmp_path / "p.bin"
    rows = answer("new", "--scan", reference, "--enforce", "--name", "Hosts", "--version", "10.0.0.7", "-o", xml)
    assert [(row["kind"], row["allowed_by"], Path(row["file"]).name) for row in rows] == [
        ("program", "hash", "tool.exe"),
        ("driver", "hash", "foo.sys"),
        ("skipped", "nothing", "broken.dll"),
    ]
    assert rows[0]["reason"] == "it has no signature of its own"
    assert "Measured digest" in succeed("convert", xml, "-o", binary)
    policy = parse_ci_policy(binary.read_bytes())
    assert (policy.name, policy.header.audit, policy.header.version) == ("Hosts", False, (10, 0, 0, 7))
    assert policy.document == read_policy_xml(xml.read_bytes())
    assert [row["answer"] for row in answer("check", binary, reference, code=1)] == ["allowed", "allowed", "skipped"]
    other = tmp_path / "other.sys"
    other.write_bytes(small_pe(b"other"))
    assert answer("check", binary, other, code=1)[0]["why"] == "no rule allows it"


def test_a_new_policy_audits_unless_it_shall_enforce(reference: Path, tmp_path: Path) -> None:
    xml = tmp_path / "p.xml"
    succeed("new", "--scan", reference, "-o", xml)
    shown = answer("show", xml)
    assert shown["mode"] == "audit"
    assert "audit mode" in shown["warnings"][0]
    succeed("convert", xml, "-o", tmp_path / "p.bin", "--enforce", "--version", "10.0.0.1")
    assert answer("show", tmp_path / "p.bin")["mode"] == "enforced"
    told = [item["sentence"] for item in answer("diff", xml, tmp_path / "p.bin", code=1)]
    assert told == ["Audit mode switched off: what is not allowed is refused", "Version 10.0.0.0 became 10.0.0.1"]


@pytest.mark.parametrize("level", ["publisher", "file-publisher"])
def test_a_publishers_files_are_allowed_by_signer(
    reference: Path, tmp_path: Path, signing: Signing, level: str
) -> None:
    foo = reference / "drivers" / "foo.sys"
    signing.osslsigncode(foo, reference / "drivers" / "signed.sys", "-h", "sha256")
    xml = tmp_path / "p.xml"
    rows = {Path(row["file"]).name: row for row in answer("new", "--scan", reference, "--level", level, "-o", xml)}
    signed = rows["signed.sys"]
    assert signed["publisher"] == "Foo Inc."
    # These small files have no version resource, so that their file level falls back to the hash.
    assert signed["allowed_by"] == ("publisher" if level == "publisher" else "hash")
    drivers = "\n".join(answer("show", xml)["drivers"])
    assert ("publisher Foo Inc." in drivers) is (level == "publisher")
    foo.write_bytes(small_pe(b"a later version"))
    later = signing.osslsigncode(foo, tmp_path / "later.sys", "-h", "sha256")
    expected = "allowed" if level == "publisher" else "refused"
    assert answer("check", xml, later, code=int(level != "publisher"))[0]["answer"] == expected


def test_a_real_programs_file_level_asks_for_name_and_version(tmp_path: Path, signing: Signing) -> None:
    from tests.hgs.cli.ci_policy.images import real_images

    launcher = next((path for path in real_images() if path.name == "t64.exe"), None)
    if launcher is None:
        pytest.skip("pip's launchers are not on this machine")
    (tmp_path / "in").mkdir()
    signing.osslsigncode(launcher, tmp_path / "in" / "t64.exe", "-h", "sha256")
    answer("new", "--scan", tmp_path / "in", "--level", "file-publisher", "-o", tmp_path / "p.xml")
    (line,) = answer("show", tmp_path / "p.xml")["programs"]
    assert "publisher Foo Inc., only files named t64.exe, version 1." in line


def test_without_fallback_what_is_unsigned_is_left_out(reference: Path, tmp_path: Path) -> None:
    result = run("new", "--scan", reference, "--fallback", "none", "-o", tmp_path / "p.xml")
    assert result.exit_code == 2
    assert "No image was found that a policy could allow." in result.output
    assert not (tmp_path / "p.xml").exists()


def test_kernel_only_leaves_programs_unchecked(reference: Path, tmp_path: Path) -> None:
    xml = tmp_path / "p.xml"
    rows = answer("new", "--scan", reference, "--kernel-only", "-o", xml)
    assert "tool.exe" not in {Path(row["file"]).name for row in rows}
    assert "Enabled:UMCI" not in answer("show", xml)["option_names"]
    assert answer("check", xml, reference / "tool.exe")[0]["why"] == "the policy leaves programs unchecked"


def test_show_explains_a_signed_binary(tmp_path: Path) -> None:
    file = tmp_path / "policy.p7b"
    file.write_bytes(wrapped(everything(7).serialise()))
    shown = answer("show", file)
    assert shown["signed"] is True
    assert shown["digest"] == parse_ci_policy(everything(7).serialise()).digest
    text = succeed("show", file)
    assert "deny files named bad.sys" in text
    assert shown["digest"] in text
    assert json.loads(succeed("show", file, "--output", "json")) == shown


def test_show_tells_what_it_cannot_read_and_the_digest_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "policy.bin"
    file.write_bytes(everything(7).serialise() + b"x")
    text = succeed("show", file)
    assert "1 bytes follow its end" in text
    assert "Measured digest" in text
    assert run("convert", file, "-o", tmp_path / "out.xml").exit_code == 2


@pytest.mark.parametrize("number", [2, 5, 7])
def test_convert_goes_there_and_back(tmp_path: Path, number: int) -> None:
    binary, xml, again = tmp_path / "a.bin", tmp_path / "a.xml", tmp_path / "b.bin"
    content = everything(number)
    binary.write_bytes(content.serialise())
    succeed("convert", binary, "-o", xml)
    succeed("convert", xml, "-o", again, "--format", str(number))
    read = parse_ci_policy(again.read_bytes())
    assert read.body == content.body
    assert read.header.format_version == number


@pytest.mark.parametrize("command", ["show", "convert", "diff", "check"])
@pytest.mark.parametrize("content", [b"", b"<x/>", b"junk", b"0\x82\xff\xff", b"\xff\xfe<", None])
def test_an_unusable_file_is_a_sentence_and_exit_code_2(tmp_path: Path, command: str, content: bytes | None) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    also: dict[str, list[str | Path]] = {"convert": ["-o", tmp_path / "out"], "diff": [file], "check": [tmp_path]}
    result = run(command, file, *also.get(command, []))
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert "something in the file that it does not handle" not in result.output


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "policy.bin"
    file.write_bytes(everything(7).serialise())
    result = run("convert", file, "-o", tmp_path / "none" / "policy.xml")
    assert result.exit_code == 2
    assert "No such file or directory" in result.output


def test_equal_policies_are_said_to_be_equal(tmp_path: Path) -> None:
    file = tmp_path / "policy.bin"
    file.write_bytes(everything(7).serialise())
    assert succeed("diff", file, file) == "The policies say the same.\n"


def test_it_needs_no_django() -> None:
    code = "import sys; sys.modules['django'] = None; from hgs.cli.ci_policy import ci_policy; ci_policy(['--help'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "show" in found.stdout, found.stderr
