"""The `gf` command. It knows none of its groups: each registers itself under the entry point `guarded_fabric.cli`.

A group is imported when it is used, so `gf pdk` needs neither Django nor anything else that a server needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any, Final, NoReturn

import click

from portal.cli.extras import PROJECT, extra_for
from portal.cli.failure import CliError, friendly

ENTRY_POINTS: Final = "guarded_fabric.cli"


class LazyGroups(click.Group):
    """A click group whose commands come from entry points and whose errors are sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all registered groups, whether or not they can be loaded here."""
        return sorted({*super().list_commands(ctx), *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the group. Raises CliError when a module it needs is not installed."""
        entry_point = _entry_points().get(cmd_name)
        return super().get_command(ctx, cmd_name) if entry_point is None else _load(entry_point)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the groups; one that cannot be loaded here says what it needs."""
        rows = [(name, self._summary(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _summary(self, ctx: click.Context, name: str) -> str:
        try:
            command = self.get_command(ctx, name)
        except CliError as error:
            return f"({error.message})"
        return command.get_short_help_str(limit=80) if command is not None else ""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn errors that a user can act upon into CliError."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except ModuleNotFoundError as error:
            # Some commands of a group need a server's modules and import them when they run.
            if extra_for(error.name or "") is None:
                raise
            raise _missing(ctx.invoked_subcommand or "", error.name or "") from error
        except Exception as error:
            known = friendly(error)
            if known is None:
                raise
            raise known from error


def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {entry_point.name: entry_point for entry_point in metadata.entry_points(group=ENTRY_POINTS)}


def _load(entry_point: metadata.EntryPoint) -> click.Command:
    try:
        command = entry_point.load()
    except ModuleNotFoundError as error:
        raise _missing(entry_point.name, error.name or "") from error
    except (ImportError, AttributeError) as error:
        raise CliError(f"The command gf {entry_point.name} cannot be loaded: {error}.") from error
    if not isinstance(command, click.Command):
        raise CliError(f"The command gf {entry_point.name} is not a command.")
    return command


def _missing(group: str, module: str) -> CliError:
    extra = extra_for(module)
    if extra is None:
        return CliError(f"The command gf {group} needs the Python module {module}, which is not installed.")
    return CliError(
        f"The command gf {group} needs the extra [{extra}], which is not installed.",
        f"Install it: pip install '{PROJECT}[{extra}]'",
    )


@click.group(cls=LazyGroups, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=PROJECT, prog_name="gf")
def gf() -> None:
    """Guarded fabric: guardians, shielding data, templates, hosts and shielded virtual machines."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `gf`. Exit codes: 0 done, 1 refused or failed, 2 used wrongly, 3 a server could not be reached."""
    gf.main(args=None if arguments is None else list(arguments), prog_name="gf")
    raise SystemExit(0)
