"""``gf hgs policies``: the built-in attestation policies."""

from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import on_node
from portal.cli.output import Format, output_option, show_rows

if TYPE_CHECKING:
    from portal.kernel.actor import Actor


@click.group(invoke_without_command=True)
@output_option
@click.pass_context
def policies(context: click.Context, output: Format) -> None:
    """Built-in attestation policies; without a command, list them."""
    if context.invoked_subcommand is None:
        _list(output)


@on_node
def _list(actor: "Actor", output: Format) -> None:
    from hgs.selectors import policies as selectors

    rows = [
        {"name": item.name, "state": item.state, "meaning": item.meaning, "changed_by": item.changed_by}
        for item in selectors.policies(actor)
    ]
    show_rows(rows, [("name", "POLICY"), ("state", "STATE"), ("meaning", "MEANING")], output)


def _add_switch(word: str, enabled: bool) -> None:
    @policies.command(word, help=f"{word.capitalize()} a policy, from the next attestation on.")
    @click.argument("name")
    @click.option("--dry-run", is_flag=True, help="Change nothing; say which hosts would fare otherwise.")
    @output_option
    @on_node
    def switch(actor: "Actor", name: str, dry_run: bool, output: Format) -> None:
        if dry_run:
            from hgs.cli.forecasts import show_policy_forecast
            from hgs.selectors.policy_dry_run import policy_forecast

            show_policy_forecast(policy_forecast(actor, name, enabled), output)
            return
        from hgs.commands.policies import set_policy_enabled

        changed = set_policy_enabled(actor, name, enabled)
        click.echo(f"{changed} {word}d. It counts from the next attestation on.")


_add_switch("enable", True)
_add_switch("disable", False)

COMMANDS: Final[tuple[click.Command, ...]] = (policies,)
