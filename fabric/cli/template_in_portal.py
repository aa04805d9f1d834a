"""`gf template sign-in-portal` and what belongs to it: signing by the fabric, with a key that it holds.

Who must not trust the fabric signs with `gf template protect` and publishes the result.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, printable, show_record, show_rows
from portal.cli.rest import RestClient

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
DISKS: Final = "/api/v1/unsigned-disks"
SIGNINGS: Final = "/api/v1/template-signings"
_ASK_SECONDS: Final = 1.0
_ENDED: Final = ("succeeded", "failed", "errored", "lost", "cancelled")
_SIGNING_FIELDS = (
    ("id", "Id"), ("name", "Name"), ("version", "Version"), ("state", "State"), ("source", "Disk"),
    ("signer_subject", "Signed by"), ("signer_fingerprint", "Signing certificate (SHA-256)"), ("template", "Template"),
    ("roots", "Root hashes"),
)  # fmt: skip


@click.command("import")
@click.argument("disk", type=EXISTING)
@click.option("--boot-certificate", type=EXISTING, help="PEM or DER; NAME-boot-certificate.pem beside it otherwise.")
@output_option
def import_disk(disk: Path, boot_certificate: Path | None, output: Format) -> None:
    """Upload an unsigned disk (VHDX, VHD, qcow2 or raw), to be signed by the fabric."""
    beside = disk.with_name(f"{disk.stem}-boot-certificate.pem")
    certificate = boot_certificate or (beside if beside.is_file() else None)
    files = {"disk": disk, **({"boot_certificate": certificate} if certificate else {})}
    with RestClient() as portal:
        answer = portal.upload(f"{DISKS}/", files)
    show_record(answer, (("id", "Id"), ("file_name", "File"), ("size", "Size (bytes)"), ("sha256", "SHA-256")), output)


@click.command()
@output_option
def unsigned(output: Format) -> None:
    """List disks that the fabric could sign: the library's, and those of its import folder (named import:FILE)."""
    with RestClient() as portal:
        rows = [{"disk": row["id"], "name": row["file_name"], **row} for row in portal.items(f"{DISKS}/")]
        folder = portal.get("/api/v1/import-folder/")
    rows += [{"disk": f"import:{row['name']}", **row} for row in folder]
    columns = (("disk", "DISK"), ("name", "FILE"), ("size", "BYTES"), ("has_boot_certificate", "BOOT CERTIFICATE"))
    show_rows(rows, columns, output)


@click.command()
@click.argument("disk_id")
def discard(disk_id: str) -> None:
    """Remove an unsigned disk from the portal."""
    with RestClient() as portal:
        portal.delete(f"{DISKS}/{disk_id}/")
    click.echo("The disk was discarded.")


@click.command()
@output_option
def signers(output: Format) -> None:
    """List the certificates with which the fabric itself can sign."""
    columns = (
        ("name", "NAME"), ("subject", "SUBJECT"), ("fingerprint", "SHA-256"), ("not_after", "UNTIL"),
        ("problem", "PROBLEM"),
    )  # fmt: skip
    with RestClient() as portal:
        show_rows(portal.get("/api/v1/template-signers/"), columns, output)


@click.command()
@output_option
def signings(output: Format) -> None:
    """List signings by the fabric: drafts, under way, stopped and published."""
    columns = (("id", "ID"), ("name", "NAME"), ("version", "VERSION"), ("state", "STATE"), ("source", "DISK"))
    with RestClient() as portal:
        show_rows(list(portal.items(f"{SIGNINGS}/")), columns, output)


@click.command("sign-in-portal")
@click.option("--disk", help="Id of an unsigned disk, or import:FILE; see gf template unsigned.")
@click.option("--signer", help="Certificate that signs; see gf template signers.")
@click.option("--name", help="Disk name that shielding data will trust.")
@click.option("--version", help="Version a.b.c.d, each part below 65536.")
@click.option("--description", default="", help="What tenants read beside the name.")
@click.option("--boot-certificate", type=EXISTING, help="PEM, for a disk that came without one.")
@click.option("--resume", metavar="ID", help="Go on with a signing that stopped, instead of a new one.")
@output_option
def sign_in_portal(
    disk: str | None, signer: str | None, name: str | None, version: str | None, description: str,
    boot_certificate: Path | None, resume: str | None, output: Format,
) -> None:  # fmt: skip
    """Have the fabric sign and publish a disk with a key that it holds.

    Whoever administers the fabric's machines can sign with that key. When you stop this with Ctrl-C the fabric goes on;
    gf template cancel-signing stops it.
    """
    wanted = {"disk": disk, "signer": signer, "name": name, "version": version}
    missing = [f"--{key}" for key, value in wanted.items() if not value]
    if missing and not resume:
        raise click.UsageError(f"{', '.join(missing)} needed, or --resume")
    with RestClient() as portal:
        pk = resume or _prepare(portal, {**wanted, "description": description}, boot_certificate)
        _wait(portal, portal.post(f"{SIGNINGS}/{pk}/start/")["job"])
        done = portal.get(f"{SIGNINGS}/{pk}/")
    done["roots"] = [f"{volume}: {root}" for volume, root in done["result"].get("roots", {}).items()]
    show_record(done, _SIGNING_FIELDS, output)


@click.command("cancel-signing")
@click.argument("signing_id")
def cancel_signing(signing_id: str) -> None:
    """Stop a signing by the fabric; what is hashed is kept."""
    with RestClient() as portal:
        answer = portal.post(f"{SIGNINGS}/{signing_id}/cancel/")
    click.echo(
        f"{answer['name']} {answer['version']} is {answer['state']}. gf template sign-in-portal --resume goes on."
    )


def _prepare(portal: RestClient, wanted: dict[str, Any], boot_certificate: Path | None) -> str:
    """Say what is to be signed, and wait for the inspection; gives the signing's id."""
    disk = str(wanted.pop("disk"))
    wanted["import_name" if disk.startswith("import:") else "disk"] = disk.removeprefix("import:")
    if boot_certificate:
        wanted["boot_certificate"] = boot_certificate.read_text(encoding="ascii", errors="replace")
    begun = portal.post(f"{SIGNINGS}/", json=wanted)
    _wait(portal, begun["job"])
    refusal = (portal.get(f"{SIGNINGS}/{begun['id']}/")["inspection"] or {}).get("refusal")
    if refusal:
        portal.delete(f"{SIGNINGS}/{begun['id']}/")
        raise CliError(printable(refusal["message"]), printable(refusal["advice"]))
    return str(begun["id"])


def _wait(portal: RestClient, job: str) -> None:
    """Until a job has ended; its progress on a terminal. Raises `CliError` unless it succeeded."""
    address = f"/api/v1/jobs/{job.rstrip('/').rpartition('/')[2]}/"
    while (found := portal.get(address))["state"] not in _ENDED:
        if sys.stderr.isatty():
            words = next((one["message"] for one in found["steps"] if one["state"] == "running"), "")
            click.echo(f"\r\033[K{found['title']}: {found['percent']} % {printable(words)}", nl=False, err=True)
        time.sleep(_ASK_SECONDS)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    if found["state"] == "cancelled":
        raise CliError("The signing was cancelled.", "gf template sign-in-portal --resume takes it up again.")
    if found["state"] != "succeeded":
        error = found["error"] or {}
        raise CliError(printable(error.get("message")), printable(error.get("advice")))


COMMANDS = (import_disk, unsigned, discard, signers, signings, sign_in_portal, cancel_signing)
