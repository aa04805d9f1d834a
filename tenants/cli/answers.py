"""What the commands for answer files share: their options, and how secrets get in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from fabric.shielding.linux_answers import LinuxAnswers, linux_answer_file
from fabric.shielding.sha512_crypt import hash_password
from fabric.shielding.unattend import DomainJoin
from hgs.keyprotection.secret import Secret
from portal.cli.failure import CliError
from tenants.cli.files import read_secret_line
from tenants.cli.owner import EXISTING, WRITABLE, ask_secret

Command = TypeVar("Command", bound=Callable[..., Any])

STATIC: Final = {
    "all": frozenset({4, 6}),
    "ipv4address": frozenset({4}),
    "ipv6address": frozenset({6}),
    "none": frozenset[int](),
}
"""Which addresses come from the fabric's pool; the others come by DHCP."""


def common_options(command: Command) -> Command:
    """The options that both kinds of answer file have."""
    for option in reversed(
        (
            click.option(
                "--admin-password-file", type=EXISTING,
                help="File whose only line is the administrator's password; asked for otherwise.",
            ),
            click.option(
                "--static-ip-pool", type=click.Choice(list(STATIC), case_sensitive=False), default="ipv4address",
                show_default=True, help="Addresses that the fabric gives from its pool; none: all by DHCP.",
            ),
            click.option(
                "--computer-name", default="@ComputerName@", show_default=True, help="A fixed name."
            ),
            click.option("--out", "-o", type=WRITABLE, required=True, help="File to write; only you can read it."),
            click.option("--force", is_flag=True, help="Overwrite the file."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def administrators_password(file: Path | None) -> Secret:
    """From the file, or asked for twice without echo. Raises CliError."""
    if file is not None:
        return read_secret_line(file)
    return ask_secret("Administrator's password for the VMs", "--admin-password-file", twice=True)


def linux_answers(password: Secret, static_ip_pool: str, *, computer_name: str, time_zone: str, locale: str) -> Secret:
    """A Linux answer file with the hash of this password. Raises AnswerFileError."""
    text = linux_answer_file(
        LinuxAnswers(
            password_hash=hash_password(password, os.urandom),
            computer_name=computer_name,
            time_zone=time_zone,
            static_addresses=STATIC[static_ip_pool.lower()],
            locale=locale,
        )
    )
    return Secret(text.encode())


def domain_join(domain: str, user: str, password_file: Path | None, unit: str) -> DomainJoin | None:
    """The domain to join, None without one; its password from the file, or asked for. Raises click.UsageError."""
    if not domain:
        if user or password_file or unit:
            raise click.UsageError("--domain-user, --domain-password-file and --domain-unit are for --domain")
        return None
    if not user:
        raise click.UsageError("--domain needs --domain-user, an account that may add computers to it")
    return DomainJoin(domain, user, domain_password(user, password_file), unit)


def domain_password(user: str, file: Path | None) -> Secret:
    """The password that joins a domain."""
    return read_secret_line(file) if file else ask_secret(f"Password of {user}", "--domain-password-file")


def product_key(required: bool, file: Path | None) -> str:
    """A product key from a file, the fabric's, or none. Raises CliError."""
    if file is None:
        return "@ProductKey@" if required else ""
    if required:
        raise click.UsageError("either --product-key-required or --product-key-file")
    try:
        return read_secret_line(file).reveal().decode("ascii").upper()
    except UnicodeDecodeError:
        raise CliError(f"{file} does not hold a product key.", "Put the key on its only line.") from None
