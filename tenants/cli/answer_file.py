"""`gf answer-file`: what a new virtual machine is told, written and checked offline."""

from __future__ import annotations

from pathlib import Path

import click

from fabric.shielding.answerfile import (
    ANSWER_FILE_MAX,
    check_answer_file,
    is_linux_answer_file,
    missing_values,
    placeholders,
    substitute,
)
from fabric.shielding.unattend import ADMINISTRATOR, WindowsAnswers, needed_files, windows_answer_file
from hgs.keyprotection.secret import Secret
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record
from tenants.cli.answers import (
    STATIC,
    administrators_password,
    common_options,
    domain_join,
    linux_answers,
    product_key,
)
from tenants.cli.files import read_text, write_file
from tenants.cli.owner import EXISTING
from tenants.cli.values import VALUE_OPTION, values_from


@click.group(name="answer-file")
def answer_file() -> None:
    """Answer files: what a new virtual machine is told. They go into shielding data."""


@answer_file.group()
def new() -> None:
    """Write an answer file, for gf pdk new --answer-file."""


@new.command()
@common_options
@click.option("--time-zone", default="@TimeZone@", show_default=True, help="Such as Europe/Berlin.")
@click.option("--locale", default="", help="Such as de_DE.UTF-8; the template's otherwise.")
def linux(
    admin_password_file: Path | None, static_ip_pool: str, computer_name: str, out: Path, force: bool, time_zone: str,
    locale: str,
) -> None:  # fmt: skip
    """For Linux: root's password (its hash), name, time zone, network, locale.

    SSH keys and a script to run are files of their own: gf pdk new --authorized-key and --configuration-script.
    """
    _check_free(out, force)
    password = administrators_password(admin_password_file)
    made = linux_answers(password, static_ip_pool, computer_name=computer_name, time_zone=time_zone, locale=locale)
    _write(out, made, force)


@new.command()
@common_options
@click.option("--admin-name", default=ADMINISTRATOR, show_default=True, help="Another name makes one more account.")
@click.option("--domain", default="", help="Active Directory domain to join.")
@click.option("--domain-user", default="", help="Account that may add computers to it.")
@click.option(
    "--domain-password-file", type=EXISTING, help="File whose only line is its password; asked for otherwise."
)
@click.option("--domain-unit", default="", help="Where the computer goes: a distinguished name.")
@click.option("--product-key-required", is_flag=True, help="The fabric has to give a product key.")
@click.option("--product-key-file", type=EXISTING, help="File whose only line is the product key.")
@click.option("--rdp-certificate", is_flag=True, help="Remote Desktop uses gf pdk new --rdp-certificate.")
@click.option(
    "--configuration-script", is_flag=True, help="Run gf pdk new --configuration-script (PowerShell) at the end."
)
@click.option("--time-zone", default="UTC", show_default=True, help="As Windows calls it: W. Europe Standard Time.")
@click.option("--locale", default="", help="Such as de-DE; the template's otherwise.")
def windows(
    admin_password_file: Path | None, static_ip_pool: str, computer_name: str, out: Path, force: bool,
    admin_name: str, domain: str, domain_user: str, domain_password_file: Path | None, domain_unit: str,
    product_key_required: bool, product_key_file: Path | None, rdp_certificate: bool, configuration_script: bool,
    time_zone: str, locale: str,
) -> None:  # fmt: skip
    """For Windows: an unattend.xml that opens Remote Desktop, deletes what held secrets, and ends in shutdown."""
    _check_free(out, force)
    key = product_key(product_key_required, product_key_file)
    password = administrators_password(admin_password_file)
    answers = WindowsAnswers(
        administrator_password=password,
        administrator=admin_name,
        computer_name=computer_name,
        time_zone=time_zone,
        product_key=key,
        domain=domain_join(domain, domain_user, domain_password_file, domain_unit),
        static_addresses=STATIC[static_ip_pool.lower()],
        locale=locale,
        rdp_certificate=rdp_certificate,
        configuration_script=configuration_script,
    )
    _write(out, windows_answer_file(answers), force)


@answer_file.command()
@click.argument("file", type=EXISTING)
@VALUE_OPTION
@output_option
def check(file: Path, values: tuple[str, ...], output: Format) -> None:
    """Check an answer FILE, and say which values it asks for.

    With --value, also whether these are all, and each is what may stand there.
    """
    text = read_text(file, ANSWER_FILE_MAX)
    check_answer_file(text)
    needed, given = placeholders(text), values_from(values)
    if given:
        missing = missing_values(needed, given)
        if missing:
            raise CliError(
                f"The answer file asks for {', '.join(missing)}; no --value gives it.",
                "Use a fabric that gives it, or put a fixed value into the answer file.",
            )
        check_answer_file(substitute(text, given))
    linux_form = is_linux_answer_file(text)
    record = {
        "path": str(file),
        "form": "Linux" if linux_form else "unattend.xml",
        "substitution_strings": list(needed),
        "files": [] if linux_form else list(needed_files(text)),
    }
    fields = (
        ("path", "File"), ("form", "Form"), ("substitution_strings", "Asks for values"), ("files", "Needs files"),
    )  # fmt: skip
    show_record(record, fields, output)


def _check_free(out: Path, force: bool) -> None:
    """Before anybody types a password."""
    if out.exists() and not force:
        raise CliError(f"{out} exists already.", "Choose another name, or overwrite it with --force.")


def _write(out: Path, made: Secret, force: bool) -> None:
    write_file(out, made.reveal(), force=force, private=True)
    needed = placeholders(made.reveal().decode())
    asked = f"The fabric fills in {', '.join(needed)}." if needed else "It asks the fabric for no value."
    click.echo(f"{out} is written. {asked} Delete it when it is in your shielding data: it holds secrets.")
