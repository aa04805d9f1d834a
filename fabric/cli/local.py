"""`gf host local`: virtual machines of a host in local mode, run on that host, without portal, library and HGS.

The owner has granted to the host's own guardian, and so given up every protection from that host.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_rows

if TYPE_CHECKING:
    from fabric.hyperv.virtual_machines import VirtualMachines

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_GUEST = {"cidr": "10.20.0.0/24", "address": "10.20.0.10", "gateway": "10.20.0.1", "dns": "10.20.0.3"}


@click.group()
def local() -> None:
    """Virtual machines of a host in local mode, which nothing protects from that host."""


@local.command()
@click.argument("host")
@click.argument("name")
@click.option("--template", type=_FILE, required=True, help="Template disk (VHDX or raw).")
@click.option("--catalog", type=_FILE, required=True, help="Its volume signature catalog.")
@click.option("--pdk", type=_FILE, required=True, help="Shielding data granted to this host's guardian.")
@click.option("--port", type=click.IntRange(1024, 65535), required=True, help="Port of the host that leads to its SSH.")
@click.option("--vcpus", type=int, default=1, show_default=True)
@click.option("--memory", type=int, default=512, show_default=True, help="MiB")
@click.option("--value", "values", multiple=True, metavar="@NAME@=TEXT", help="A value for the answer file.")
def provision(
    host: str,
    name: str,
    template: Path,
    catalog: Path,
    pdk: Path,
    port: int,
    vcpus: int,
    memory: int,
    values: tuple[str, ...],
) -> None:
    """Make the virtual machine NAME on HOST; it is not started. Prints its id."""
    from fabric.hyperv.spec import GuestNetwork, VmSpec

    machines = _machines(host)
    digests = [_sha256(path) for path in (template, catalog, pdk)]
    network = GuestNetwork(**_GUEST)
    spec = VmSpec(str(uuid.uuid4()), name, vcpus, memory, _values(name, values), network, port, *digests)
    machines.provision(spec, b"", template.resolve(), catalog.resolve(), pdk.resolve(), _tell)
    click.echo(spec.id)


@local.command()
@click.argument("host")
@click.argument("vm_id")
def start(host: str, vm_id: str) -> None:
    """Start a virtual machine and wait for its first heartbeat."""
    _machines(host).start(vm_id, b"", _tell)


@local.command()
@click.argument("host")
@click.argument("vm_id")
@click.option("--force", is_flag=True, help="Switch it off.")
def stop(host: str, vm_id: str, force: bool) -> None:
    """Shut a virtual machine down."""
    _machines(host).stop(vm_id, force)


@local.command()
@click.argument("host")
@click.argument("vm_id")
def remove(host: str, vm_id: str) -> None:
    """Remove a virtual machine with its disk and keys."""
    _machines(host).remove(vm_id)


@local.command("list")
@click.argument("host")
@output_option
def list_(host: str, output: Format) -> None:
    """List the virtual machines on the host."""
    rows = [{"id": vm_id, "state": state} for vm_id, state in _machines(host).list().items()]
    show_rows(rows, (("id", "Id"), ("state", "State")), output)


def _machines(name: str) -> VirtualMachines:
    os.environ.setdefault("GF_ROLE", "host")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from fabric.hyperv.config import host_config
    from fabric.hyperv.hgs_client import NO_PROTECTION, HgsClient
    from fabric.hyperv.local_guardian import keep_local_guardian
    from fabric.hyperv.operations import virtual_machines
    from fabric.hyperv.status import require_booted

    config = host_config(name)
    require_booted(config)
    if config.local_guardian is None:
        raise CliError(f"{name} is not in local mode: its VMs belong to the portal. HOST_LOCAL_MODE=true makes it so.")
    keep_local_guardian(config.local_guardian)
    click.echo(NO_PROTECTION, err=True)
    return virtual_machines(config, HgsClient(config))


def _values(name: str, given: tuple[str, ...]) -> dict[str, str]:
    """What the answer file may ask for: the network's values, and what the command line says."""
    values = {
        "@ComputerName@": name,
        "@TimeZone@": "UTC",
        "@IP4Addr-1@": f"{_GUEST['address']}/24",
        "@NextHop-1-1@": _GUEST["gateway"],
        "@DnsAddr-1-1@": _GUEST["dns"],
    }
    for each in given:
        key, separator, text = each.partition("=")
        if not separator:
            raise click.UsageError(f"{each!r} is not of the form @NAME@=TEXT.")
        values[key] = text
    return values


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tell(step: str, percent: int, message: str) -> None:
    click.echo(f"{step}: {message} ({percent} %)", err=True)
