"""``gf hgs set``: the mode of this HGS, and what a switch would do."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hgs.cli.node import on_node
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hgs.models import OperationMode
    from portal.kernel.actor import Actor

_F = TypeVar("_F", bound=Callable[..., Any])
_MODES: Final = {"trust_tpm": 1, "trust_ad": 2, "trust_host_key": 3}
"""Options and the numbers of [MS-HGSA]'s AttestationOperationMode."""


def mode_options(command: _F) -> Callable[..., Any]:
    """Options of which exactly one names the mode; the command gets ``mode``, its number."""

    @click.option("--trust-tpm", is_flag=True, help="TPM mode: hosts prove themselves by their TPM.")
    @click.option("--trust-ad", is_flag=True, help="Active Directory mode: hosts are members of a registered group.")
    @click.option("--trust-host-key", is_flag=True, help="Host key mode: hosts sign with a registered key.")
    @wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        chosen = [number for name, number in _MODES.items() if options.pop(name)]
        if len(chosen) != 1:
            raise CliError("HGS has exactly one mode.", "Give one of --trust-tpm, --trust-ad and --trust-host-key.")
        return command(*args, mode=chosen[0], **options)

    return run


@click.command("set")
@mode_options
@click.option("--dry-run", is_flag=True, help="Change nothing; say which known hosts would pass, and why others not.")
@click.option("--force", is_flag=True, help="Switch though this node can check no tickets.")
@output_option
@on_node
def set_(actor: "Actor", mode: int, dry_run: bool, force: bool, output: Format) -> None:
    """Switch the mode of this HGS, at once and on every node."""
    from hgs.commands.mode import set_mode, unready
    from hgs.models import OperationMode

    if dry_run:
        from hgs.cli.forecasts import show_mode_forecast
        from hgs.selectors.dry_run import mode_forecast

        show_mode_forecast(mode_forecast(actor, OperationMode(mode)), output)
        _note(unready(OperationMode(mode)))
        return
    if not force:
        _check_tickets(OperationMode(mode))
    change = set_mode(actor, OperationMode(mode))
    if change.is_change:
        click.echo(f"HGS attests in {change.after.label} mode now; before, it was {change.before.label} mode.")
    else:
        click.echo(f"HGS was in {change.after.label} mode already.")
    _note((*unready(change.after), *change.warnings))


def _check_tickets(mode: "OperationMode") -> None:
    """Refuse a switch after which this node could attest no host. Asking for the mode in force stays possible."""
    from hgs.commands.mode import ticket_problem
    from hgs.selectors.configuration import configuration

    problem = None if configuration().mode == mode else ticket_problem(mode)
    if problem is not None:
        advice = f"{problem.advice} --force switches all the same."
        raise CliError(f"The mode was not switched: no host could attest here. {problem.message}", advice)


def _note(sentences: "Iterable[str]") -> None:
    for sentence in sentences:
        click.echo(f"Note: {sentence}", err=True)


COMMANDS: Final[tuple[click.Command, ...]] = (set_,)
