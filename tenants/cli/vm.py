"""`gf vm`: virtual machines, over the portal's REST API.

A machine is named by its name or its id. What takes time is started and its job's id printed; with `--wait` the command
follows the job's steps on standard error and ends as the job ends (exit code 0 or 1).
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from portal.cli.failure import CliError
from portal.cli.jobs import follow, job_of, timeout_option, wait_option
from portal.cli.output import Format, output_option, printable, show_record, show_rows
from portal.cli.rest import RestClient
from tenants.cli.portal_objects import FILES, VMS, is_uuid, one_of
from tenants.cli.vm_key_protector import COMMANDS
from tenants.cli.vm_recovery_key import COMMANDS as RECOVERY_COMMANDS

NETWORKS: Final = "/api/v1/networks/"
TEMPLATES: Final = "/api/v1/template-disks/"
_COLUMNS: Final = (("name", "NAME"), ("state", "STATE"), ("protection", "PROTECTION"), ("host", "HOST"),
                   ("ssh", "SSH"), ("template_name", "TEMPLATE"))  # fmt: skip
_FIELDS: Final = (
    ("name", "Name"), ("id", "Id"), ("state", "State"), ("why", "Problem"), ("protection", "Protection"),
    ("ssh", "SSH"), ("address", "Address"), ("network_name", "Network"), ("host", "Host"),
    ("template_name", "Template"), ("shielding_data_name", "Shielding data"), ("owner_fingerprint", "Owner"),
    ("vcpus", "Processors"), ("memory_mib", "Memory, MiB"), ("last_heartbeat_at", "Last heartbeat"),
    ("created_at", "Created"),
)  # fmt: skip


@click.group()
def vm() -> None:
    """Virtual machines in the portal."""


@vm.command()
@click.argument("name")
@click.option("--pdk", required=True, help="Shielding data: its name or id in the portal, or a file to upload first.")
@click.option("--network", required=True, help="Network: its name or id.")
@click.option("--template", help="Template disk: NAME, NAME:VERSION or id; the newest trusted one otherwise.")
@click.option("--idempotency-key", help="Repeat it to get the same machine; made up otherwise.")
@wait_option
@timeout_option
@output_option
def create(
    name: str, pdk: str, network: str, template: str | None, idempotency_key: str | None, wait: bool, timeout: float,
    output: Format,
) -> None:  # fmt: skip
    """Create the shielded virtual machine NAME."""
    with RestClient() as rest:
        body = {
            "name": name,
            "shielding_data": _shielding_data(rest, pdk),
            "network": one_of(rest, NETWORKS, network, "network")["id"],
        }
        if template:
            body["template"] = _template(rest, template)
        started = rest.post(VMS, body, {"Idempotency-Key": idempotency_key or uuid.uuid4().hex})
        _finish(rest, started, name, wait, timeout, output)


@vm.command(name="list")
@output_option
def list_(output: Format) -> None:
    """List your virtual machines."""
    with RestClient() as rest:
        show_rows([_with_ssh(row) for row in rest.items(VMS)], _COLUMNS, output)


@vm.command()
@click.argument("name")
@output_option
def show(name: str, output: Format) -> None:
    """Show one virtual machine."""
    with RestClient() as rest:
        _show(one_of(rest, VMS, name, "virtual machine"), output)


@vm.command()
@click.argument("name")
@wait_option
@timeout_option
@output_option
def start(name: str, wait: bool, timeout: float, output: Format) -> None:
    """Start a virtual machine."""
    _command(name, "start", {}, wait, timeout, output)


@vm.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Switch it off at once.")
@wait_option
@timeout_option
@output_option
def stop(name: str, force: bool, wait: bool, timeout: float, output: Format) -> None:
    """Shut a virtual machine down."""
    _command(name, "stop", {"force": force}, wait, timeout, output)


@vm.command()
@click.argument("name")
@wait_option
@timeout_option
@output_option
def retry(name: str, wait: bool, timeout: float, output: Format) -> None:
    """Create a machine anew whose creation failed."""
    _command(name, "retry", {}, wait, timeout, output)


@vm.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_option
@timeout_option
@output_option
def remove(name: str, yes: bool, wait: bool, timeout: float, output: Format) -> None:
    """Remove a virtual machine, its disk and its keys for good."""
    with RestClient() as rest:
        found = one_of(rest, VMS, name, "virtual machine")
        if not yes:
            _confirm(found["name"])
        started = rest.delete(f"{VMS}{found['id']}/")
        _finish(rest, started, found["name"], wait, timeout, output)


@vm.command()
@click.argument("name")
def console(name: str) -> None:
    """Open the console, which a shielded virtual machine never has."""
    with RestClient() as rest:
        found = one_of(rest, VMS, name, "virtual machine")
        rest.post(f"{VMS}{found['id']}/console/")


def _command(name: str, verb: str, body: Mapping[str, Any], wait: bool, timeout: float, output: Format) -> None:
    with RestClient() as rest:
        found = one_of(rest, VMS, name, "virtual machine")
        started = rest.post(f"{VMS}{found['id']}/{verb}/", body)
        _finish(rest, started, found["name"], wait, timeout, output)


def _confirm(name: str) -> None:
    if not sys.stdin.isatty():
        raise CliError(f"{name} was not removed: nobody is there to ask.", "Add --yes.")
    click.confirm(f"Remove {name}, its disk and its keys for good?", abort=True)


def _finish(
    rest: RestClient, started: Mapping[str, Any], name: str, wait: bool, timeout: float, output: Format
) -> None:
    job_id = job_of(started)
    if not wait:
        record = {"name": name, "id": started["id"], "state": started["state"], "job_id": job_id}
        fields = (("name", "Name"), ("id", "Id"), ("state", "State"), ("job_id", "Job"))
        show_record(record, fields, output)
        return
    follow(rest, job_id, timeout)
    rows = list(rest.items(VMS, {"name": name}))
    if rows:
        _show(rows[0], output)
    else:
        gone = {"name": name, "id": started["id"], "state": "removed"}
        show_record(gone, (("name", "Name"), ("state", "State")), output)


def _shielding_data(rest: RestClient, wanted: str) -> str:
    """The id of shielding data in the portal; a file is uploaded under its own name unless it is there already."""
    path = Path(wanted)
    if not path.is_file():
        return str(one_of(rest, FILES, wanted, "shielding data")["id"])
    present = list(rest.items(FILES, {"name": path.stem}))
    if present and present[0]["sha256"] == _sha256(path):
        return str(present[0]["id"])
    return str(rest.upload(FILES, {"file": path}, {"name": path.stem})["id"])


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _template(rest: RestClient, wanted: str) -> str:
    if is_uuid(wanted):
        return wanted
    name, _, version = wanted.partition(":")
    found = [row for row in rest.items(TEMPLATES, {"name": name}) if not version or row["version"] == version]
    if len(found) == 1:
        return str(found[0]["id"])
    if not found:
        raise CliError(f"There is no template disk {wanted}.", "See gf template list.")
    versions = ", ".join(printable(row["version"]) for row in found)
    raise CliError(f"There are {len(found)} template disks {name}: {versions}.", "Give NAME:VERSION.")


def _with_ssh(row: Mapping[str, Any]) -> dict[str, Any]:
    access, problem = row.get("access"), row.get("problem")
    ssh = f"ssh -p {access['port']} root@{access['host']}" if access else None
    return {**row, "ssh": ssh, "why": problem["message"] if problem else None}


def _show(row: Mapping[str, Any], output: Format) -> None:
    show_record(_with_ssh(row), _FIELDS, output)


for _one in (*COMMANDS, *RECOVERY_COMMANDS):
    vm.add_command(_one)
