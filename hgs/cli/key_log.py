"""``gf hgs key-log``: the log that holds every release and refusal, and the key that tenants compare."""

from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import on_node
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record

if TYPE_CHECKING:
    from hgs.selectors.releases import LogCard
    from portal.kernel.actor import Actor


@click.group("key-log")
def key_log() -> None:
    """The key log: every release and every refusal."""


@key_log.command()
@output_option
@on_node
def key(actor: "Actor", output: Format) -> None:
    """Show the key that signs the log's checkpoints, and its hash to read to tenants."""
    from hgs.keyprotection.certificates import grouped

    card = _card(actor)
    fingerprint = card.key.fingerprint
    record = {"vkey": str(card.key), "fingerprint": grouped(fingerprint) if output == "table" else fingerprint}
    show_record(record, [("vkey", "Key"), ("fingerprint", "SHA-256")], output)


@key_log.command()
@output_option
@on_node
def checkpoint(actor: "Actor", output: Format) -> None:
    """Show how long the log is, and its signed checkpoint."""
    card = _card(actor)
    lines = card.checkpoint.splitlines()
    record = {"size": card.size, "checkpoint": lines if output == "table" else card.checkpoint}
    show_record(record, [("size", "Entries"), ("checkpoint", "Checkpoint")], output)


def _card(actor: "Actor") -> "LogCard":
    from hgs.selectors.releases import key_log_card

    card = key_log_card(actor)
    if card is None:
        raise CliError("HGS has no key log yet.", "Initialise HGS, or start this node once: manage.py hgs.")
    return card


COMMANDS: Final[tuple[click.Command, ...]] = (key_log,)
