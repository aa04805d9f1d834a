"""`gf vm key-protector`, `set-key-protector`: one VM's key protector out of the portal, and the changed one in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.protector import import_protector, verify_protector
from hgs.keyprotection.protector_form import PROTECTOR_MAX
from portal.cli.failure import CliError
from portal.cli.jobs import follow, job_of, timeout_option, wait_option
from portal.cli.output import Format, output_option, printable, show_record
from portal.cli.rest import RestClient
from tenants.cli.files import read_limited
from tenants.cli.owner import EXISTING, WRITABLE
from tenants.cli.portal_objects import VMS, one_of

_FIELDS: Final = [
    ("name", "Name"), ("sha256", "SHA-256"), ("owner_fingerprint", "Owner"), ("guardians", "Guardians"),
    ("names_present_guardian", "Names this fabric's guardian"), ("state", "State"), ("job_id", "Job"),
]  # fmt: skip


@click.command("key-protector")
@click.argument("name")
@click.option("--out", "-o", type=WRITABLE, required=True, help="Key protector file to write.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@timeout_option
def key_protector(name: str, out: Path, force: bool, timeout: float) -> None:
    """Fetch the key protector of a virtual machine from its host, for gf key-protector grant or revoke.

    Change it and put it back before the machine is started again: every start makes a new one.
    """
    if out.exists() and not force:
        raise CliError(f"{out} exists already.", "Choose another name, or overwrite it with --force.")
    with RestClient() as rest:
        found = one_of(rest, VMS, name, "virtual machine")
        address = f"{VMS}{found['id']}/key-protector/"
        follow(rest, job_of(rest.post(f"{address}fetch/")), timeout)
        size = rest.download(address, out)
    click.echo(f"{out} is written ({size} bytes). Who can open it: gf key-protector show {out}")


@click.command("set-key-protector")
@click.argument("name")
@click.argument("file", type=EXISTING)
@wait_option
@timeout_option
@output_option
def set_key_protector(name: str, file: Path, wait: bool, timeout: float, output: Format) -> None:
    """Give a virtual machine the key protector FILE that you made of the one that gf vm key-protector fetched.

    Its host takes it over while the machine goes on as it is; the next start asks HGS with it. Everybody whom the file
    names can have the machine opened.
    """
    verify_protector(import_protector(read_limited(file, PROTECTOR_MAX + 4)))
    with RestClient() as rest:
        found = one_of(rest, VMS, name, "virtual machine")
        started = rest.upload_raw(f"{VMS}{found['id']}/key-protector/", file, "application/octet-stream")
        job_id = job_of(started)
        state = _wait(rest, started, job_id, timeout) if wait else "replacing"
    _warn(started)
    record = started | {"name": found["name"], "state": state, "job_id": job_id}
    show_record(record if output == "json" else _readable(record), _FIELDS, output)


def _wait(rest: RestClient, started: dict[str, Any], job_id: str, timeout: float) -> str:
    """The state once the host is done. Raises CliError unless this very protector is in force."""
    follow(rest, job_id, timeout)
    kept = rest.get(f"{VMS}{started['id']}/")["key_protector"] or {}
    if kept.get("job_id") == job_id and kept["state"] != "replaced":
        problem = kept.get("problem") or {}
        raise CliError(
            str(problem.get("message") or "The key protector was not replaced."), str(problem.get("advice") or "")
        )
    return "replaced"


def _warn(started: dict[str, Any]) -> None:
    if started["names_present_guardian"] is False:
        click.echo(
            "warning: it does not name this fabric's present guardian. A machine that no guardian of HGS can open "
            "does not start; grant it and set it again.",
            err=True,
        )


def _readable(record: dict[str, Any]) -> dict[str, Any]:
    return record | {
        "owner_fingerprint": grouped(record["owner_fingerprint"]),
        "guardians": [f"{grouped(one['fingerprint'])} ({printable(one['name'])})" for one in record["guardians"]],
        "names_present_guardian": {True: "yes", False: "no"}.get(record["names_present_guardian"]),
    }


COMMANDS: Final[tuple[click.Command, ...]] = (key_protector, set_key_protector)
