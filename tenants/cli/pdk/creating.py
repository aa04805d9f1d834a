"""`gf pdk new`: a shielding data file, by flags, from a file of choices, or asked for step by step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from fabric.shielding.pdk import parse_pdk
from portal.cli.output import Format, output_option
from tenants.cli.guardian import STORE_OPTION
from tenants.cli.owner import EXISTING, WRITABLE
from tenants.cli.pdk.choices import DEFAULT_RULE, KINDS, POLICIES, Choices, TrustedDisk
from tenants.cli.pdk.choices_file import read_choices
from tenants.cli.pdk.making import Entered, alias_of, make
from tenants.cli.pdk.showing import public_record, show
from tenants.cli.trust import RULES, qualifier_from_text


@click.command()
@click.option("--from", "source", type=EXISTING, help="File of choices (TOML); flags take the place of what it says.")
@click.option("--wizard", is_flag=True, help="Ask step by step, as on a terminal without any option.")
@click.option("--owner", type=EXISTING, help="Your owner guardian file.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is its passphrase; asked for otherwise.")
@click.option("--guardian", "guardians", multiple=True, help="Name of an imported guardian. Repeatable.")
@click.option(
    "--type", "type", type=click.Choice(list(KINDS)), help="What it is for; new VMs from templates otherwise."
)
@click.option("--catalog", "catalogs", multiple=True, type=EXISTING, help="Catalog of a trusted template. Repeatable.")
@click.option("--rule", type=click.Choice(list(RULES)), help=f"Versions --catalog accepts; {DEFAULT_RULE} otherwise.")
@click.option("--qualifier", "qualifiers", multiple=True, help="NAME,FINGERPRINT,VERSION,RULE instead of --catalog.")
@click.option("--policy", type=click.Choice(list(POLICIES)), help="How far VMs are protected; shielded otherwise.")
@click.option("--answer-file", type=EXISTING, help="Your own answer file; a Linux one is made otherwise.")
@click.option("--admin-password-file", type=EXISTING, help="File whose only line is the administrator's password.")
@click.option("--ssh-host-key", type=EXISTING, help="OpenSSH Ed25519 private key of the VM; made otherwise.")
@click.option("--known-hosts", type=WRITABLE, help="Append the VM's host key to this file.")
@click.option("--authorized-key", "authorized_keys", multiple=True, type=EXISTING, help="Public key file. Repeatable.")
@click.option("--configuration-script", type=EXISTING, help="Run once in the new VM; at most 64 KiB.")
@click.option("--rdp-certificate", type=EXISTING, help="PFX file with the VM's certificate for Remote Desktop.")
@click.option("--rdp-password-file", type=EXISTING, help="File whose only line is its password; asked for otherwise.")
@click.option("--file", "files", multiple=True, help="Another file, PATH or NAME=PATH. Repeatable; 384 KiB in all.")
@click.option(
    "--escrow-recovery-key/--no-escrow-recovery-key", default=None,
    help="Whether the host leaves you a recovery key for the disk; it does unless you say no.",
)  # fmt: skip
@click.option("--out", "-o", type=WRITABLE, help="Shielding data file to write.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@STORE_OPTION
@output_option
def new(source: Path | None, wizard: bool, force: bool, output: Format, **given: Any) -> None:
    """Make a shielding data file.

    It may be uploaded to any portal: only a host that your guardians' Host Guardian Service finds healthy can open
    it, and only for a template disk that you name here.
    """
    choices = (read_choices(source) if source else Choices()).overridden_by(_from_flags(**given))
    entered = Entered()
    if wizard or _nothing_given(click.get_current_context()):
        from tenants.cli.pdk.wizard import ask_choices

        choices, entered, force = ask_choices(choices, force)
    made = make(choices, entered, force=force)
    record = public_record(parse_pdk(made.data), made.data) | {"path": str(made.path)}
    if made.known_hosts is not None:
        record["known_hosts"] = made.known_hosts
    show(record, output)
    if output == "table" and made.known_hosts is not None and choices.known_hosts is None:
        click.echo(f"Keep the known_hosts line, and connect with: ssh -o HostKeyAlias={alias_of(made.path)} …")


def _nothing_given(context: click.Context) -> bool:
    named = any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in context.params)
    return not named and _on_a_terminal()


def _on_a_terminal() -> bool:
    return sys.stdin.isatty()


def _from_flags(
    *, catalogs: tuple[Path, ...], rule: str | None, qualifiers: tuple[str, ...], files: tuple[str, ...], **given: Any
) -> Choices:
    disks = [TrustedDisk(path, rule or DEFAULT_RULE) for path in catalogs]
    disks += [TrustedDisk(qualifier=qualifier_from_text(text)) for text in qualifiers]
    return Choices(trusted_disks=tuple(disks), files=tuple(named_file(text) for text in files), **given)


def named_file(argument: str) -> tuple[str, Path]:
    """`PATH` or `NAME=PATH` as name and path."""
    name, separator, text = argument.partition("=")
    path = Path(text if separator else argument)
    return (name if separator else path.name), path
