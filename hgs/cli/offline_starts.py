"""``gf hgs offline-starts``: whether hosts may start virtual machines while no HGS answers."""

from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import on_node

if TYPE_CHECKING:
    from portal.kernel.actor import Actor


@click.command("offline-starts")
@click.argument("count", type=int, required=False)
@on_node
def offline_starts(actor: "Actor", count: int | None) -> None:
    """Show, or set, how often a host may start a VM without HGS after each release of its key; 0 forbids it.

    A host keeps the key in its TPM, which counts, and gives it out only while the host's security configuration is the
    one that was attested. Whoever steals such a host can start the VM that often without HGS knowing.
    """
    from hgs.commands.offline_starts import permit_offline_starts
    from hgs.selectors.configuration import configuration

    if count is not None and not permit_offline_starts(actor, count):
        click.echo("It was so already.", err=True)
    allowed = configuration().max_offline_unwraps
    click.echo(f"Starts without HGS after each release: {allowed}." if allowed else "Hosts start no VM without HGS.")


COMMANDS: Final[tuple[click.Command, ...]] = (offline_starts,)
