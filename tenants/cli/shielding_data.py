"""`gf shielding-data`: shielding data files in the portal, over its REST API."""

from __future__ import annotations

from pathlib import Path

import click

from portal.cli.output import Format, output_option, show_record, show_rows
from portal.cli.rest import RestClient
from tenants.cli.portal_objects import FILES, one_of

_COLUMNS = (
    ("name", "NAME"),
    ("kind", "TYPE"),
    ("policy", "POLICY"),
    ("owner_name", "OWNER"),
    ("virtual_machines", "VMS"),
    ("id", "ID"),
)
_FIELDS = (
    ("name", "Name"), ("id", "Id"), ("kind", "Type"), ("policy", "Policy"), ("owner_name", "Owner"),
    ("owner_fingerprint", "Fingerprint"),
    ("substitution_strings", "Asks for values"), ("escrows_recovery_key", "Recovery keys"),
    ("virtual_machines", "VMs"), ("sha256", "SHA-256"), ("uploaded_at", "Uploaded"),
)  # fmt: skip


@click.group(name="shielding-data")
def shielding_data() -> None:
    """Shielding data files in the portal."""


@shielding_data.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="What to call it; the file's name otherwise.")
@click.option("--description", default="", help="What it is for.")
@output_option
def upload(file: Path, name: str | None, description: str, output: Format) -> None:
    """Upload FILE, as gf pdk wrote it."""
    with RestClient() as rest:
        fields = {"name": name or file.stem, "description": description}
        show_record(rest.upload(FILES, {"file": file}, fields), _FIELDS, output)


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
        show_record({**found, "templates": lines}, (*_FIELDS, ("templates", "Templates")), output)


@shielding_data.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a file that no virtual machine is made from."""
    with RestClient() as rest:
        rest.delete(f"{FILES}{one_of(rest, FILES, name, 'shielding data')['id']}/")
