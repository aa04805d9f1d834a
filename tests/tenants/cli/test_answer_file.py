"""`gf answer-file`: answer files for Linux and Windows, and what they ask for."""

import json
import stat

import pytest

from fabric.shielding.answerfile import parse_linux_answer_file, placeholders
from tests.tenants.cli.conftest import PASSWORD, Desk


def new(desk: Desk, kind: str, *more: str) -> str:
    out = desk.path("answers")
    result = desk.gf("answer-file", "new", kind, "--admin-password-file", desk.path("password"), "-o", out, *more)
    assert result.exit_code == 0, result.stderr
    assert PASSWORD not in result.output
    return (desk.folder / "answers").read_text()


def test_a_linux_answer_file_takes_name_and_address_from_the_fabric(desk: Desk) -> None:
    answers = parse_linux_answer_file(new(desk, "linux", "--locale", "de_DE.UTF-8", "--time-zone", "Europe/Berlin"))
    assert answers["GF_COMPUTER_NAME"] == "@ComputerName@"
    assert answers["GF_LOCALE"] == "de_DE.UTF-8"
    assert answers["GF_TIME_ZONE"] == "Europe/Berlin"
    assert answers["GF_ROOT_PASSWORD_HASH"].startswith("$6$")
    assert stat.S_IMODE((desk.folder / "answers").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("pool", "names"),
    [
        ("All", {"@IP4Addr-1@", "@IP6Addr-1@", "@NextHop-1-1@", "@NextHop-1-2@", "@DnsAddr-1-1@"}),
        ("IPv4Address", {"@IP4Addr-1@", "@NextHop-1-1@", "@DnsAddr-1-1@"}),
        ("IPv6Address", {"@IP6Addr-1@", "@NextHop-1-2@", "@DnsAddr-1-1@"}),
        ("none", set()),
    ],
)
@pytest.mark.parametrize("kind", ["linux", "windows"])
def test_the_pools_are_chosen_as_in_the_original(desk: Desk, kind: str, pool: str, names: set[str]) -> None:
    text = new(desk, kind, "--static-ip-pool", pool, "--time-zone", "UTC")
    assert set(placeholders(text)) == names | {"@ComputerName@"}


def test_a_windows_answer_file_joins_a_domain_with_a_password_from_a_file(desk: Desk) -> None:
    (desk.folder / "join").write_text("join & <password>\n")
    (desk.folder / "key").write_text("abcde-fghij-klmno-pqrst-uvwxy\n")
    text = new(
        *(desk, "windows", "--domain", "contoso.com", "--domain-user", "joiner", "--locale", "de-DE"),
        *("--domain-password-file", desk.path("join"), "--product-key-file", desk.path("key"), "--rdp-certificate"),
    )
    assert "<Password>join &amp; &lt;password&gt;</Password>" in text
    assert "ABCDE-FGHIJ-KLMNO-PQRST-UVWXY" in text
    checked = json.loads(desk.done("answer-file", "check", desk.path("answers"), "--output", "json"))
    assert checked["form"] == "unattend.xml"
    assert checked["files"] == ["rdp_certificate.pfx", "rdp_certificate.password"]


@pytest.mark.parametrize(
    "options",
    [
        ("--domain", "contoso.com"),
        ("--domain-user", "joiner"),
        ("--product-key-required", "--product-key-file", "password"),
        ("--product-key-file", "password"),
        ("--locale", "german"),
        ("--computer-name", "a b"),
    ],
)
def test_options_that_do_not_fit_leave_no_file(desk: Desk, options: tuple[str, ...], monkeypatch: object) -> None:
    options = tuple(desk.path(one) if one == "password" else one for one in options)
    arguments = ("--admin-password-file", desk.path("password"), "-o", desk.path("answers"))
    assert desk.gf("answer-file", "new", "windows", *arguments, *options).exit_code in {1, 2}
    assert not (desk.folder / "answers").exists()


def test_the_password_is_asked_for_twice_without_echo(desk: Desk) -> None:
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    result = desk.gf("answer-file", "new", "windows", "-o", desk.path("answers"), typed=typed)
    assert result.exit_code == 0, result.stderr
    assert PASSWORD not in result.output


def test_an_existing_file_is_kept_and_nobody_types_for_nothing(desk: Desk) -> None:
    (desk.folder / "answers").write_text("mine")
    result = desk.gf("answer-file", "new", "linux", "-o", desk.path("answers"))
    assert result.exit_code == 1
    assert "Password" not in result.stderr
    assert (desk.folder / "answers").read_text() == "mine"


def test_check_tells_the_missing_value_by_name(desk: Desk) -> None:
    new(desk, "linux", "--static-ip-pool", "none")
    path = desk.path("answers")
    checked = json.loads(desk.done("answer-file", "check", path, "--output", "json"))
    assert checked["substitution_strings"] == ["@ComputerName@", "@TimeZone@"]
    result = desk.gf("answer-file", "check", path, "--value", "ComputerName=web")
    assert result.exit_code == 1
    assert "@TimeZone@" in result.stderr
    desk.done("answer-file", "check", path, "--value", "ComputerName=web", "--value", "TimeZone=Etc/UTC")
    bad = desk.gf("answer-file", "check", path, "--value", "ComputerName=we b", "--value", "TimeZone=Etc/UTC")
    assert bad.exit_code == 1
    assert "@ComputerName@" in bad.stderr


def test_check_names_the_line_that_is_wrong(desk: Desk) -> None:
    (desk.folder / "answers").write_text('GF_DNS="10.0.0.1"\nROOT="x"\n')
    result = desk.gf("answer-file", "check", desk.path("answers"))
    assert result.exit_code == 1
    assert "Line 2" in result.stderr
