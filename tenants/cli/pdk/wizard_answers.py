"""The wizard's questions about what a new machine is told: an answer file made now or given, an RDP certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from fabric.shielding.answerfile import ANSWER_FILE_MAX, check_answer_file
from fabric.shielding.errors import ShieldingError
from fabric.shielding.linux_answers import LinuxAnswers, linux_answer_file
from fabric.shielding.rdp import check_rdp_certificate
from fabric.shielding.unattend import WindowsAnswers, windows_answer_file
from hgs.keyprotection.pfx import PFX_MAX
from hgs.keyprotection.secret import Secret
from portal.cli.failure import CliError
from tenants.cli.answers import STATIC, domain_join, linux_answers
from tenants.cli.files import read_limited, read_secret_line, read_text
from tenants.cli.owner import ask_secret
from tenants.cli.pdk.choices import Choices
from tenants.cli.pdk.making import Entered, ask_administrators_password
from tenants.cli.prompting import ask, ask_file, ask_text, choose, confirm, say

_STAND_IN: Final = f"$6$x${'.' * 86}"
_POOLS: Final = [
    ("ipv4address", "an IPv4 address from the fabric's pool"),
    ("ipv6address", "an IPv6 address from the fabric's pool"),
    ("all", "both"),
    ("none", "by DHCP"),
]


def ask_answer_file(choices: Choices, entered: Entered) -> tuple[Path | None, Secret | None]:
    """The path of an answer file, or the content of one made now. Raises Back."""
    options = [("linux", "made now"), ("windows", "made now"), ("file", "one that you have")]
    if entered.answer_file is not None:
        options.append(("keep", "the one just made"))
    default = "keep" if entered.answer_file is not None else "file" if choices.answer_file else "linux"
    kind = choose("Answer file", options, default)
    if kind == "keep":
        return None, entered.answer_file
    if kind == "file":
        return ask("Answer file", str(choices.answer_file or ""), check=_answer_file), None
    return None, _ask_windows(choices) if kind == "windows" else _ask_linux(choices)


def _answer_file(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise click.UsageError("There is no such file.")
    check_answer_file(read_text(path, ANSWER_FILE_MAX))
    return path


def _ask_linux(choices: Choices) -> Secret:
    say("The machine's addresses:")
    pool = choose("Network", _POOLS, "ipv4address")
    zone = _ask_setting("Time zone (@TimeZone@: the fabric's)", "@TimeZone@", lambda text: _linux(time_zone=text))
    locale = _ask_setting("Locale, such as de_DE.UTF-8 (Enter: the template's)", "", lambda text: _linux(locale=text))
    password = _password(choices)
    return linux_answers(password, pool, computer_name="@ComputerName@", time_zone=zone, locale=locale)


def _ask_windows(choices: Choices) -> Secret:
    say("The machine's addresses:")
    pool = choose("Network", _POOLS, "ipv4address")
    zone = _ask_setting("Time zone, as Windows calls it", "UTC", lambda text: _windows(time_zone=text))
    locale = _ask_setting("Locale, such as de-DE (Enter: the template's)", "", lambda text: _windows(locale=text))
    key = "@ProductKey@" if confirm("Does the fabric give a product key?", default=False) else ""
    certificate = confirm("Will Remote Desktop use a certificate of yours (asked for next)?", default=False)
    script = confirm("Will a PowerShell script of yours run at the end (asked for next)?", default=False)
    domain = ask_text("Domain to join (Enter: none)", needed=False)
    user = ask_text("Account that may add computers to it") if domain else ""
    join = domain_join(domain, user, None, "")
    answers = WindowsAnswers(
        administrator_password=_password(choices), time_zone=zone, product_key=key, static_addresses=STATIC[pool],
        locale=locale, rdp_certificate=certificate, configuration_script=script, domain=join,
    )  # fmt: skip
    return windows_answer_file(answers)


def _ask_setting(question: str, default: str, write: Callable[[str], object]) -> str:
    """A setting that an answer file can be written with: found wrong before anybody types a password."""

    def check(text: str) -> str:
        write(text)
        return text

    return ask(question, default, check=check)


def _linux(**setting: str) -> str:
    return linux_answer_file(LinuxAnswers(password_hash=_STAND_IN, **setting))  # type: ignore[arg-type]


def _windows(**setting: str) -> Secret:
    return windows_answer_file(WindowsAnswers(administrator_password=Secret(b"-"), **setting))  # type: ignore[arg-type]


def _password(choices: Choices) -> Secret:
    if choices.admin_password_file is not None:
        return read_secret_line(choices.admin_password_file)
    return ask_administrators_password()


def ask_rdp_certificate(choices: Choices, entered: Entered) -> tuple[Choices, Entered]:
    """A PFX file and its password, which has to open it. Raises Back."""
    while True:
        path = ask_file("PFX file for Remote Desktop (Enter for none)", choices.rdp_certificate, needed=False)
        if path is None:
            plain = replace(choices, rdp_certificate=None, rdp_password_file=None)
            return plain, replace(entered, rdp_password=None)
        given = choices.rdp_password_file
        password = read_secret_line(given) if given else ask_secret("Its password", "--rdp-password-file")
        try:
            certificate = check_rdp_certificate(Secret(read_limited(path, PFX_MAX)), password)
        except (ShieldingError, CliError) as error:
            say(f"  {error.message}")
            choices = replace(choices, rdp_password_file=None)
            continue
        say(f"  {certificate.subject.rfc4514_string()}")
        return replace(choices, rdp_certificate=path), replace(entered, rdp_password=password)
