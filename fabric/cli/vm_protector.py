"""`gf host export-protector` and its sisters: a VM's key protector on the host itself, where no portal carries it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fabric.hyperv.virtual_machines import VirtualMachines


@click.command("export-protector")
@click.argument("name")
@click.argument("vm_id")
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
def export_protector(name: str, vm_id: str, out: Path) -> None:
    """Write the key protector of a VM on host NAME, for its owner to grant or revoke access offline."""
    document = _machines(name).export_protector(vm_id)
    out.write_bytes(document)
    click.echo(f"Wrote {out} ({len(document)} bytes).")


@click.command("replace-protector")
@click.argument("name")
@click.argument("vm_id")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def replace_protector(name: str, vm_id: str, file: Path) -> None:
    """Use the key protector that the VM's owner made of the exported one, from the VM's next start on."""
    digest = _machines(name).replace_protector(vm_id, file.read_bytes())
    click.echo(f"The VM's next start uses the protector {digest}.")


@click.command("restore-protector")
@click.argument("name")
@click.argument("vm_id")
def restore_protector(name: str, vm_id: str) -> None:
    """Go back to the key protector that a VM had before its owner last replaced it: HGS refuses the new one."""
    digest = _machines(name).restore_protector(vm_id)
    click.echo(f"The VM's next start uses the protector {digest} again.")


def _machines(name: str) -> VirtualMachines:
    os.environ.setdefault("GF_ROLE", "host")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from fabric.hyperv.config import host_config
    from fabric.hyperv.hgs_client import HgsClient
    from fabric.hyperv.operations import virtual_machines
    from fabric.hyperv.status import require_booted

    config = host_config(name)
    require_booted(config)
    return virtual_machines(config, HgsClient(config))
