"""`gf shielding-data`: shielding data files in the portal, over its REST API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fabric.cli.uploads import Memory, send_file
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record, show_rows
from portal.cli.rest import RestClient
from tenants.cli.portal_objects import FILES, VMS, one_of

_COLUMNS = (
    ("name", "NAME"), ("kind", "TYPE"), ("policy", "POLICY"), ("outdated_guardian", "OUTDATED"),
    ("owner_name", "OWNER"), ("virtual_machines", "VMS"), ("id", "ID"),
)  # fmt: skip
_FIELDS = (
    ("name", "Name"), ("description", "Description"), ("id", "Id"), ("kind", "Type"), ("policy", "Policy"),
    ("outdated_guardian", "Outdated guardian"), ("owner_name", "Owner"), ("owner_fingerprint", "Fingerprint"),
    ("substitution_strings", "Asks for values"), ("escrows_recovery_key", "Recovery keys"),
    ("virtual_machines", "VMs"), ("sha256", "SHA-256"), ("uploaded_at", "Uploaded"),
)  # fmt: skip


_DETAILS = (
    *_FIELDS, ("guardian_lines", "Guardians"), ("trust_lines", "Trusts"), ("templates", "Templates"),
    ("made", "Made from it"),
)  # fmt: skip


def _readable(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """Guardians and volume ID qualifiers as lines."""
    return {
        "guardian_lines": [f"{one['name']} {one['fingerprint']}" for one in found["guardians"]],
        "trust_lines": [
            f"{one['disk_name']} {one['rule']} {one['version']}, signed by {one['signer_fingerprint']}"
            for one in found["qualifiers"]
        ],
    }


@click.group(name="shielding-data")
def shielding_data() -> None:
    """Shielding data files in the portal."""


@shielding_data.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="What to call it; the file's name otherwise.")
@click.option("--description", default="", help="What it is for.")
@output_option
def upload(file: Path, name: str | None, description: str, output: Format) -> None:
    """Upload FILE, as gf pdk wrote it. Run again after an interruption, it goes on where it stopped."""
    with RestClient() as rest:
        sent = send_file(rest, file, "shielding-data")
        made = rest.post(FILES, {"upload": sent, "name": name or file.stem, "description": description})
        Memory(rest.origin, file, "shielding-data").forget()
    show_record(made, _FIELDS, output)


@shielding_data.command(name="list")
@output_option
def list_(output: Format) -> None:
    """List your shielding data."""
    with RestClient() as rest:
        show_rows(list(rest.items(FILES)), _COLUMNS, output)


@shielding_data.command()
@click.argument("name")
@output_option
def show(name: str, output: Format) -> None:
    """Show one file and which template disks it fits."""
    with RestClient() as rest:
        found = one_of(rest, FILES, name, "shielding data")
        fits = rest.get(f"{FILES}{found['id']}/templates/")
        lines = [f"{row['name']} {row['version']}: {'fits' if row['fits'] else row['reason']}" for row in fits]
        vms = [row["name"] for row in rest.items(VMS) if row["shielding_data"] == found["id"]]
        show_record({**found, "templates": lines, "made": vms, **_readable(found)}, _DETAILS, output)


@shielding_data.command("set")
@click.argument("name")
@click.option("--name", "new_name", help="What to call it from now on.")
@click.option("--description", help="What it is for.")
@output_option
def set_words(name: str, new_name: str | None, description: str | None, output: Format) -> None:
    """Change a file's name or description in the portal; the file itself stays as its owner signed it."""
    wanted = {"name": new_name, "description": description}
    changes = {key: value for key, value in wanted.items() if value is not None}
    if not changes:
        raise CliError("There is nothing to change.", "Give --name or --description.")
    with RestClient() as rest:
        found = one_of(rest, FILES, name, "shielding data")
        show_record(rest.request("PATCH", f"{FILES}{found['id']}/", json=changes), _FIELDS, output)


@shielding_data.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a file that no virtual machine is made from."""
    with RestClient() as rest:
        rest.delete(f"{FILES}{one_of(rest, FILES, name, 'shielding data')['id']}/")
