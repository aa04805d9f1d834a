"""`gf rollover`: the portal's side of a key rollover, over its REST API. The re-granting itself is done offline."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click

from portal.cli.failure import FAILED, CliError
from portal.cli.output import Format, output_option, printable, show_record, show_rows
from portal.cli.rest import RestClient
from tenants.cli.owner import EXISTING, WRITABLE

ROLLOVER: Final = "/api/v1/key-rollover/"
_POLL_SECONDS: Final = 1.0
_COLUMNS: Final = (("kind", "KIND"), ("name", "NAME"), ("state", "STATE"), ("reason", "REASON"), ("id", "ID"))
_RESULTS: Final = (("kind", "KIND"), ("name", "NAME"), ("outcome", "OUTCOME"), ("message", "WHAT HAPPENED"))
timeout_option = click.option("--timeout", type=float, default=600.0, show_default=True, help="Seconds to wait.")


@click.group()
def rollover() -> None:
    """From an older guardian of the fabric to the present one: what is left, the work file, the result."""


@rollover.command()
@output_option
def show(output: Format) -> None:
    """Show what names an older guardian, and how far each is."""
    with RestClient() as rest:
        found = rest.get(ROLLOVER)
    if output == "json":
        show_record(found, [], output)
        return
    click.echo(f"{found['virtual_machines']} virtual machines and {found['shielding_data']} shielding data files name "
               "an older guardian.")  # fmt: skip
    if found["objects"]:
        show_rows(found["objects"], _COLUMNS, output)


@rollover.command()
@click.option("--out", "-o", type=WRITABLE, required=True, help="Work file to write.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@timeout_option
def download(out: Path, force: bool, timeout: float) -> None:
    """Fetch the key protectors from the hosts, and download the work file once they are here."""
    if out.exists() and not force:
        raise CliError(f"{out} exists already.", "Choose another name, or overwrite it with --force.")
    with RestClient() as rest:
        begun = rest.post(f"{ROLLOVER}fetch/")
        for left in begun["left_out"]:
            click.echo(printable(f"left out: {left['name']}: {left['reason']} {left['advice']}"), err=True)
        _wait(rest, "fetching", timeout)
        size = rest.download(f"{ROLLOVER}work/", out)
    click.echo(f"{out} is written ({size} bytes). Re-grant it offline:\n"
               f"  gf key-protector regrant {out} --owner OWNER --guardian NAME -o DONE.zip")  # fmt: skip


@rollover.command()
@click.argument("result", type=EXISTING)
@click.option("--wait", is_flag=True, help="Wait until the hosts have taken it over.")
@timeout_option
@output_option
def upload(result: Path, wait: bool, timeout: float, output: Format) -> None:
    """Upload a RESULT of gf key-protector regrant. Ends with exit code 1 if anything of it was not taken over."""
    with RestClient() as rest:
        lines = rest.upload(f"{ROLLOVER}result/", {"file": result})
        show_rows(lines, _RESULTS, output)
        failed = [line for line in lines if line["outcome"] == "refused"]
        if wait:
            failed += _failures(_wait(rest, "replacing", timeout), lines)
    if failed:
        details = tuple(printable(f"{one['name']}: {_why(one)}") for one in failed)
        raise CliError(f"{len(failed)} of {len(lines)} objects were not taken over.", exit_code=FAILED, details=details)


def _wait(rest: RestClient, state: str, timeout: float) -> dict[str, Any]:
    """The rollover once no object is in `state`. Raises CliError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found: dict[str, Any] = rest.get(ROLLOVER)
        waiting = sum(one["state"] == state for one in found["objects"])
        if not waiting:
            return found
        if time.monotonic() > deadline:
            raise CliError(f"{waiting} virtual machines are not done yet.", "Look again: gf rollover show")
        time.sleep(_POLL_SECONDS)


def _failures(found: dict[str, Any], lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the hosts did not take over of what was uploaded."""
    started = {line["id"] for line in lines if line["outcome"] == "started"}
    return [one for one in found["objects"] if one["id"] in started and one["state"] == "failed"]


def _why(one: dict[str, Any]) -> str:
    return f"{one.get('message') or one.get('reason', '')} {one.get('advice', '')}".strip()
