"""`gf vm recovery-key`: the escrow of a virtual machine's recovery key out of the portal."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import click

from fabric.shielding.recovery import ESCROW_MAX, parse_escrow
from portal.cli.failure import CliError
from portal.cli.rest import RestClient
from tenants.cli.files import read_limited, write_file
from tenants.cli.owner import WRITABLE
from tenants.cli.portal_objects import VMS, one_of


@click.command("recovery-key")
@click.argument("name")
@click.option("--out", "-o", type=WRITABLE, required=True, help="File to write, for gf recovery unprotect.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def recovery_key(name: str, out: Path, force: bool) -> None:
    """Fetch the recovery key of a virtual machine: its owner alone can open it, with the shielding data.

    Keep the file with the shielding data: the fabric has it only as long as the machine is there.
    """
    if out.exists() and not force:
        raise CliError(f"{out} exists already.", "Choose another name, or overwrite it with --force.")
    with RestClient() as rest:
        found = one_of(rest, VMS, name, "virtual machine")
        document = _fetched(rest, found["id"])
    write_file(out, document, force=force)
    click.echo(f"{out} is written. When the virtual TPM is lost: gf recovery unprotect --key {out} …")


def _fetched(rest: RestClient, vm_id: str) -> bytes:
    """The document, checked before anything is written over. Raises CliError."""
    with tempfile.TemporaryDirectory(prefix="gf-") as folder:
        coming = Path(folder) / "coming"
        rest.download(f"{VMS}{vm_id}/recovery-key/", coming)
        document = read_limited(coming, ESCROW_MAX)
    if str(parse_escrow(document).vm_id) != vm_id:
        raise CliError("The portal gave the recovery key of another virtual machine.", "Tell the fabric administrator.")
    return document


COMMANDS: Final[tuple[click.Command, ...]] = (recovery_key,)
