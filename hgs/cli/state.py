"""``gf hgs export-state``, ``show-state`` and ``import-state``: an HGS as one file under a passphrase."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hgs.cli.node import on_node
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, printable, show_record

if TYPE_CHECKING:
    from hgs.commands.state_import import Imported, Inspected
    from hgs.statefile.soundness import KeyFound
    from portal.kernel.actor import Actor

_PASSPHRASE = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file with the passphrase alone (default: ask).",
)
_FILE = click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, exists=True))


@click.command("export-state")
@click.option("-o", "--out", "path", type=click.Path(path_type=Path, dir_okay=False), required=True)
@_PASSPHRASE
@click.option("--without-log", is_flag=True, help="Leave out the key log and the releases, which may be very many.")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@on_node
def export_state(actor: "Actor", path: Path, passphrase_file: Path | None, without_log: bool, force: bool) -> None:
    """Write everything this HGS needs to one file under a passphrase: its state, its keys, its account of keys.

    HGS may go on serving meanwhile. People of HGS, verdicts, submissions and the audit chain are not in it.
    """
    from hgs.commands.state import export_state as export

    passphrase = _passphrase(passphrase_file, twice=True)
    counts = export(actor, path, passphrase, with_log=not without_log, force=force)
    click.echo(f"The state of this HGS was written to {path}: {_counted(counts)}.")
    click.echo("Whoever has this file and its passphrase has the keys of every VM. Keep the two apart.")


@click.command("show-state")
@_FILE
@_PASSPHRASE
@output_option
@on_node
def show_state(actor: "Actor", path: Path, passphrase_file: Path | None, output: Format) -> None:
    """Read a file to its end, verify all of it, and say what is in it. Changes nothing, shows no secret."""
    from hgs.commands.state_import import inspect_state

    _show(inspect_state(actor, path, _passphrase(passphrase_file)), output)


@click.command("import-state")
@_FILE
@_PASSPHRASE
@click.option("--dry-run", is_flag=True, help="Verify the file and say what is in it, as show-state does.")
@click.option("--replace", is_flag=True, help="Replace the state that this HGS has; asks for its name.")
@click.option("--confirm", metavar="NAME", help="The name of the HGS that --replace ends, so that it does not ask.")
@click.option(
    "--continue-log", is_flag=True, help="Go on with the key log of the file. Only if it is the latest state."
)
@click.option("--keep-signer", is_flag=True, help="Keep the attestation signer instead of making a new one.")
@on_node
def import_state(
    actor: "Actor",
    path: Path,
    passphrase_file: Path | None,
    dry_run: bool,
    replace: bool,
    confirm: str | None,
    continue_log: bool,
    keep_signer: bool,
) -> None:
    """Make an HGS without any state the one of the file, in one step: everything or nothing.

    A new attestation signer signs from then on (the one of the file stays trusted for the overlap), and a new key log
    begins, which tenants have to be told.
    """
    from django.core.management import call_command

    from hgs.commands.state_import import Choices, inspect_state
    from hgs.commands.state_import import import_state as run

    call_command("migrate", interactive=False, verbosity=0)
    passphrase = _passphrase(passphrase_file)
    if dry_run:
        _show(inspect_state(actor, path, passphrase), "table")
        return
    if replace:
        _confirm(confirm)
    done = run(actor, path, passphrase, Choices(replace, continue_log, keep_signer))
    _say_done(done)
    _say_log(done.log_origin, continued=continue_log)
    _say_tokens(done.found.in_tokens)
    click.echo("People of HGS are not in the file. Where there are none here: gf hgs admin add NAME")


def _say_done(done: "Imported") -> None:
    head = done.found.summary.head
    click.echo(f"This HGS is {printable(head.name)} as of {head.made_at:%Y-%m-%d %H:%M:%S} UTC.")
    click.echo(f"In the file: {_counted(done.found.summary.counts)}.")
    click.echo("What was decided since then is not in it: hosts and policies that were removed are trusted again.")
    click.echo(f"New attestation signer: {done.signer}" if done.signer else "The attestation signer was kept.")


def _say_log(origin: str, *, continued: bool) -> None:
    if continued:
        click.echo(f"The key log {origin} goes on. Tenants who know later entries of it will see that they are gone.")
    else:
        click.echo(f"A new key log begins: {origin}. Tell tenants, whose checkpoints are of the one before.")


def _say_tokens(found: Iterable["KeyFound"]) -> None:
    from django.conf import settings

    keys = list(found)
    for key in keys:
        click.echo(f"In a token, which must be reachable: {key.purpose}, {printable(key.pkcs11_uri)}")
    if keys and not getattr(settings, "HGS_PKCS11_MODULE", ""):
        click.echo("HGS_PKCS11_MODULE is not set on this node: these keys cannot be used here until it is.")


def _confirm(named: str | None) -> None:
    from hgs.models import ServiceConfiguration

    present = ServiceConfiguration.objects.first()
    if present is None:
        return
    click.echo(f"This replaces everything that {printable(present.name)} is and trusts, and all its keys.")
    if (named if named is not None else click.prompt("Type its name to go on")) != present.name:
        raise CliError("That is not the name of this HGS; nothing was changed.")


def _passphrase(path: Path | None, *, twice: bool = False) -> str:
    if path is None:
        asked: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=twice)
        return asked
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise CliError(f"{path} holds no text.") from error


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _show(found: "Inspected", output: Format) -> None:
    head = found.summary.head
    record: dict[str, Any] = {
        "name": head.name,
        "made_at": head.made_at.isoformat(timespec="seconds"),
        "product": head.product,
        "log": head.log,
        "log_origin": found.log_origin,
        "log_entries": found.log_size,
        "counts": found.summary.counts,
        "sha256": found.summary.sha256,
        "keys": [
            {
                "purpose": key.purpose,
                "fingerprint": key.fingerprint,
                "primary": key.is_primary,
                "enabled": key.is_enabled,
                "token": key.pkcs11_uri,
            }
            for key in found.keys
        ],
    }
    fields = [("name", "Name"), ("made_at", "Made"), ("product", "Made by"), ("log", "Key log and releases")]
    fields += [("log_origin", "Name of the log"), ("log_entries", "Entries of the log")]
    fields += [("records", "Records"), ("sha256", "SHA-256"), ("certificates", "Keys")]
    if output == "table":
        record["records"] = [f"{count} {kind}" for kind, count in found.summary.counts.items()]
        record["certificates"] = [_key_line(key) for key in found.keys]
    show_record(record, fields, output)


def _key_line(key: "KeyFound") -> str:
    state = "primary" if key.is_primary else "enabled" if key.is_enabled else "disabled"
    where = f" in the token {key.pkcs11_uri}" if key.pkcs11_uri else ""
    return f"{key.purpose} ({state}) {key.fingerprint}{where}".strip()


COMMANDS: Final[tuple[click.Command, ...]] = (export_state, show_state, import_state)
