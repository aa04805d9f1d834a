"""``gf hgs rewrap``: putting a new master key in the place of an older one."""

from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import on_node
from portal.cli.output import Format, output_option, show_rows

if TYPE_CHECKING:
    from portal.kernel.actor import Actor


@click.command()
@click.option("--check", is_flag=True, help="Change nothing: list which key is sealed under which master key.")
@output_option
@on_node
def rewrap(actor: "Actor", check: bool, output: Format) -> None:
    """Seal every key of this HGS under its present master key. HGS_MASTER_KEY_OLD names the older ones.

    Every node must know both keys before. Run it once; then HGS_MASTER_KEY_OLD can go, node by node.
    """
    if check:
        _list(actor, output)
        return
    from hgs.commands.rewrap import rewrap_keys

    done = rewrap_keys(actor)
    click.echo(f"{done.sealed_anew} keys sealed anew; {done.already} were sealed under the present master key already.")
    if done.in_tokens:
        click.echo(f"{done.in_tokens} keys are in tokens: no master key protects them.")
    if done.left:
        click.echo(
            f"{done.left} keys were made meanwhile by a node that still seals under an older master key. "
            "Give every node the new HGS_MASTER_KEY, restart it, and run this again."
        )
    else:
        click.echo("HGS_MASTER_KEY_OLD is needed no more. Keep the older key with the backups that were made under it.")


def _list(actor: "Actor", output: Format) -> None:
    from hgs.selectors.master_keys import sealed_keys

    rows = [
        {
            "purpose": item.purpose,
            "fingerprint": item.fingerprint,
            "enabled": item.is_enabled,
            "master_key": item.master_key or None,
            "known": item.known.value if item.known else "in a token",
        }
        for item in sealed_keys(actor)
    ]
    columns = [("purpose", "PURPOSE"), ("enabled", "ENABLED"), ("known", "SEALED UNDER"), ("master_key", "MASTER KEY")]
    show_rows(rows, [*columns, ("fingerprint", "SHA-256")], output)


COMMANDS: Final[tuple[click.Command, ...]] = (rewrap,)
