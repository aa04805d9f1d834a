"""`gf recovery`: opening the disk of a machine whose virtual TPM is lost. Works offline, with the owner's keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from fabric.shielding.errors import ShieldingError
from fabric.shielding.pdk import PDK_MAX, Pdk, parse_pdk
from fabric.shielding.recovery import ESCROW_MAX, RecoveryKeyEscrow, open_escrow, parse_escrow
from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.ownership import open_as_owner
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record
from tenants.cli.files import read_limited, write_file
from tenants.cli.owner import EXISTING, WRITABLE, unlock_owner

FILES_MAX: Final = 10_000
_FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
_START: Final = b"<ShieldingData "


@click.group()
def recovery() -> None:
    """Recovery keys: what opens the disk of a virtual machine whose virtual TPM is lost."""


@recovery.command()
@click.argument("key", type=EXISTING)
@output_option
def show(key: Path, output: Format) -> None:
    """Show for which virtual machine a recovery KEY is, and what opens it."""
    found = parse_escrow(read_limited(key, ESCROW_MAX))
    record = {
        "path": str(key),
        "vm_id": str(found.vm_id),
        "protector_id": found.protector_id,
        "owner": grouped(found.owner_fingerprint),
    }
    fields = (
        ("path", "File"), ("vm_id", "Virtual machine"), ("protector_id", "Shielding data with key protector"),
        ("owner", "Owner"),
    )  # fmt: skip
    show_record(record, fields, output)


@recovery.command()
@click.option("--key", type=EXISTING, required=True, help="The virtual machine's .recovery file.")
@click.option("--pdk", type=EXISTING, help="The shielding data file that the machine was made from.")
@click.option("--search", type=_FOLDER, help="Folder to look for it in, with all folders below.")
@click.option("--owner", type=EXISTING, required=True, help="Your owner guardian file.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is its passphrase; asked for otherwise.")
@click.option("--out", "-o", type=WRITABLE, required=True, help="File for the disk's passphrase; only you can read it.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@output_option
def unprotect(
    key: Path, pdk: Path | None, search: Path | None, owner: Path, passphrase_file: Path | None, out: Path, force: bool,
    output: Format,
) -> None:  # fmt: skip
    """Write the passphrase that opens a virtual machine's disk."""
    if (pdk is None) == (search is None):
        raise click.UsageError("say where the shielding data is: either --pdk FILE or --search FOLDER")
    if out.exists() and not force:
        raise CliError(f"{out} exists already.", "Choose another name, or overwrite it with --force.")
    escrow = parse_escrow(read_limited(key, ESCROW_MAX))
    if search is not None:
        source, parsed = _find(escrow, search)
    elif pdk is not None:
        source, parsed = pdk, parse_pdk(read_limited(pdk, PDK_MAX))
    keys = unlock_owner(owner, passphrase_file)
    passphrase = open_escrow(escrow, parsed, open_as_owner(parsed.protector, keys))
    write_file(out, passphrase.reveal(), force=force, private=True)
    record = {"vm_id": str(escrow.vm_id), "pdk": str(source), "path": str(out)}
    fields = (("vm_id", "Virtual machine"), ("pdk", "Shielding data"), ("path", "Passphrase of its disk"))
    show_record(record, fields, output)
    if output == "table":
        click.echo(_usage(out))


def _usage(out: Path) -> str:
    return "\n".join(
        (
            "On a machine that you trust, with a copy of the machine's disk.raw:",
            "  loop=$(sudo losetup --find --show --partscan disk.raw)",
            "  sudo cryptsetup luksDump ${loop}p2        # the OS volume is the last partition",
            f"  sudo cryptsetup open --key-file {out} ${{loop}}p2 rescued",
            "  sudo mount /dev/mapper/rescued /mnt",
            f"Delete {out} when you are done: whoever has it and the disk can read everything.",
        )
    )


def _find(escrow: RecoveryKeyEscrow, folder: Path) -> tuple[Path, Pdk]:
    """The shielding data that the escrow names. Raises CliError."""
    looked_at = 0
    for path in _files(folder):
        looked_at += 1
        if looked_at > FILES_MAX:
            raise CliError(f"{folder} holds more than {FILES_MAX} files.", "Name a smaller folder, or give --pdk FILE.")
        parsed = _shielding_data(path)
        if parsed is not None and escrow.is_of(parsed):
            return path, parsed
    raise CliError(
        f"None of the {looked_at} files in {folder} is the shielding data that the machine was made from.",
        f"Look for the file whose key protector has the id {escrow.protector_id}: gf pdk inspect shows it.",
    )


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(place) / name for name in sorted(names))


def _shielding_data(path: Path) -> Pdk | None:
    """What the file holds, None if it is no shielding data that can be read."""
    try:
        if not path.is_file() or path.stat().st_size > PDK_MAX:
            return None
        with path.open("rb") as file:
            if file.read(len(_START)) != _START:
                return None
        return parse_pdk(read_limited(path, PDK_MAX))
    except (OSError, ShieldingError):
        return None
