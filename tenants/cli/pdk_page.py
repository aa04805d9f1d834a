"""`gf pdk page`: the page that makes owner guardians and shielding data in a browser, from the installed package."""

from __future__ import annotations

from pathlib import Path

import click

from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record
from tenants.cli.files import write_file
from tenants.cli.owner import WRITABLE
from tenants.offline_page.build import offline_page, published_sha256


@click.command()
@click.option("--out", "-o", type=WRITABLE, required=True, help="HTML file to write.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@output_option
def page(out: Path, force: bool, output: Format) -> None:
    """Write the page that makes owner guardians and shielding data in a browser, without a network.

    It is the page that portals offer; compare its SHA-256 with that of a copy you got from one.
    """
    made = offline_page()
    if made.sha256 != published_sha256():
        raise CliError(
            "The page in this package is not the one whose SHA-256 it publishes; nothing was written.",
            "The installation was changed: install the package again.",
            details=(f"published: {published_sha256()}", f"found: {made.sha256}"),
        )
    write_file(out, made.content, force=force)
    record = {"path": str(out), "sha256": made.sha256}
    show_record(record, [("path", "File"), ("sha256", "SHA-256")], output)
