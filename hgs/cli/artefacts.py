"""``gf hgs baselines``, ``ci-policies`` and ``dump-key``: what a host's boot is compared with."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hgs.cli.node import by_name, on_node
from hgs.cli.versions import version_option
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_rows

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from hgs.commands.trust import Artefact
    from portal.kernel.actor import Actor

_COLUMNS: Final = [
    ("name", "NAME"),
    ("policy_version", "VERSION"),
    ("enabled", "ENABLED"),
    ("digest", "SHA-256"),
    ("approved_by", "APPROVED BY"),
]


@click.group()
def baselines() -> None:
    """Baselines: the measured boot of a class of hardware."""


@click.group("ci-policies")
def ci_policies() -> None:
    """Code integrity policies that hosts may run."""


@click.group("dump-key")
def dump_key() -> None:
    """Keys that hosts may encrypt memory dumps to."""


@dump_key.command("add")
@click.argument("name")
@click.option("--hash", "digest", default="", help="SHA-256 of the public key, 64 hex digits.")
@click.option(
    "--log", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Boot log of a host that uses the key."
)
@version_option
@on_node
def add_dump_key(actor: "Actor", name: str, digest: str, log: Path | None, version: int | None) -> None:
    """Trust a key for memory dumps, by its hash or as a host measured it."""
    from hgs.commands import dump_keys
    from hgs.models import PolicyVersion

    if bool(digest) is (log is not None):
        raise CliError("A dump key is named in one way.", "Give --hash HEX or --log FILE.")
    found = dump_keys.measured_digest(log.read_bytes()) if log else digest
    added = dump_keys.add_dump_key(actor, name, found, PolicyVersion(version or 2))
    click.echo(f"Dump key {added.name} trusted: {added.digest}")


def _add_commands(group: click.Group, what: str, many: str, selector: str) -> None:
    """``list``, ``enable NAME``, ``disable NAME`` and ``remove NAME`` for a kind of artefact."""

    def found(actor: "Actor") -> "QuerySet[Any]":
        from hgs.selectors import trust

        rows: QuerySet[Any] = getattr(trust, selector)(actor)
        return rows

    @group.command("list", help=f"List {many}.")
    @output_option
    @on_node
    def list_(actor: "Actor", output: Format) -> None:
        rows = [_row(item) for item in found(actor)]
        show_rows(rows, _COLUMNS, output)

    def add(word: str, text: str, act: "Callable[[Actor, Artefact], None]", done: str, enabled: bool) -> None:
        @group.command(word, help=text)
        @click.argument("name")
        @click.option("--dry-run", is_flag=True, help="Change nothing; say which hosts would fare otherwise.")
        @output_option
        @on_node
        def run(actor: "Actor", name: str, dry_run: bool, output: Format) -> None:
            artefact: Artefact = by_name(found(actor), name, what, f"{group.name} list")
            if dry_run:
                from hgs.cli.forecasts import show_policy_forecast
                from hgs.selectors.policy_dry_run import artefact_forecast

                show_policy_forecast(artefact_forecast(actor, artefact, enabled), output)
                return
            act(actor, artefact)
            click.echo(f"{artefact.name} {done}. It counts from the next attestation on.")

    add("enable", f"Let a {what} count, from the next attestation on.", _enable, "enabled", True)
    add("disable", f"Let a {what} count no more, from the next attestation on.", _disable, "disabled", False)
    add("remove", f"Forget a {what}.", _remove, "removed", False)


def _enable(actor: "Actor", artefact: "Artefact") -> None:
    from hgs.commands.trust import set_artefact_enabled

    set_artefact_enabled(actor, artefact, True)


def _disable(actor: "Actor", artefact: "Artefact") -> None:
    from hgs.commands.trust import set_artefact_enabled

    set_artefact_enabled(actor, artefact, False)


def _remove(actor: "Actor", artefact: "Artefact") -> None:
    from hgs.commands.trust import remove_artefact

    remove_artefact(actor, artefact)


def _row(item: "Artefact") -> dict[str, Any]:
    return {
        "id": str(item.id),
        "name": item.name,
        "policy_version": f"v{item.policy_version}",
        "enabled": item.is_enabled,
        "digest": item.digest,
        "approved_by": item.approved_by,
        "facts": item.facts,
    }


_add_commands(baselines, "baseline", "baselines", "baselines")
_add_commands(ci_policies, "CI policy", "CI policies", "ci_policies")
_add_commands(dump_key, "dump key", "dump keys", "dump_keys")

COMMANDS: Final[tuple[click.Command, ...]] = (baselines, ci_policies, dump_key)
