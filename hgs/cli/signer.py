"""``gf hgs signer``: what signs health certificates."""

from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import on_node
from portal.cli.output import Format, output_option, show_rows

if TYPE_CHECKING:
    from portal.kernel.actor import Actor


@click.group()
def signer() -> None:
    """The attestation signer. HGS renews it by itself, well before it ends."""


@signer.command("list")
@output_option
@on_node
def list_signers(actor: "Actor", output: Format) -> None:
    """List signers: the one that signs, those that are trusted until all they signed is over, and past ones."""
    from hgs.selectors.keys import signers

    rows = [
        {
            "fingerprint": item.fingerprint,
            "state": item.state,
            "not_before": item.not_before.isoformat(timespec="seconds"),
            "not_after": item.not_after.isoformat(timespec="seconds"),
            "trusted_until": item.trusted_until and item.trusted_until.isoformat(timespec="seconds"),
        }
        for item in signers(actor)
    ]
    columns = [("state", "STATE"), ("not_before", "VALID FROM"), ("not_after", "VALID UNTIL")]
    show_rows(rows, [*columns, ("trusted_until", "TRUSTED UNTIL"), ("fingerprint", "SHA-256")], output)


@signer.command("renew")
@click.option(
    "--compromised",
    is_flag=True,
    help="Its key may be known to others: trust nothing that it signed any more. Hosts attest again by themselves.",
)
@on_node
def renew(actor: "Actor", compromised: bool) -> None:
    """Sign with a new signer from now on; the one before stays trusted until all it signed is over."""
    from django.utils import timezone

    from hgs.commands.signers import renew_signer

    renewed = renew_signer(actor, timezone.now(), compromised=compromised)
    click.echo(f"New attestation signer: {renewed.fingerprint}")
    if compromised:
        click.echo(
            "The one before is no longer trusted. Each host gets keys again once it has attested again, which it does "
            "by itself."
        )


COMMANDS: Final[tuple[click.Command, ...]] = (signer,)
