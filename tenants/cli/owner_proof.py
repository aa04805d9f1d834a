"""`gf audit prove-owner`: signing a portal's challenge with the owner's key. Works offline."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hgs.keyprotection.certificates import grouped
from portal.cli.failure import CliError
from tenants.cli.owner import EXISTING, unlock_owner
from tenants.owner_proof import Challenge, parse_challenge, prove


@click.command("prove-owner")
@click.argument("challenge")
@click.option("--owner", type=EXISTING, required=True, help="Your owner guardian file.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is the passphrase; asked for otherwise.")
@click.option("--yes", is_flag=True, help="Do not ask whether portal and account are yours.")
def prove_owner(challenge: str, owner: Path, passphrase_file: Path | None, yes: bool) -> None:
    """Prove to a portal that you hold an owner's key: sign the CHALLENGE it shows, print the proof.

    The proof opens the whole account of the owner's keys to the account that the challenge names, and to no other.
    """
    challenge = challenge.strip()
    _confirm(parse_challenge(challenge), sure=yes)
    click.echo(prove(challenge, unlock_owner(owner, passphrase_file)))


def _confirm(asked: Challenge, *, sure: bool) -> None:
    """Show who would be let in, and ask. Raises CliError."""
    click.echo(f"Portal:   {asked.origin}", err=True)
    click.echo(f"Account:  {asked.account}", err=True)
    click.echo(f"Owner:    {grouped(asked.owner)}", err=True)
    click.echo(f"Holds until {asked.expires_at:%Y-%m-%d %H:%M:%S} UTC.", err=True)
    if sure:
        return
    try:
        yours = click.confirm("Are this portal and this account yours?", default=False, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise CliError("Nobody is there to ask; nothing was signed.", "Give --yes if both are yours.") from None
    if not yours:
        raise CliError("Nothing was signed.", "Whoever gave you this challenge wants to read the account of your keys.")


COMMANDS = (prove_owner,)
