"""`gf guardian`: the tenant's own guardian and the guardians it trusts. Works offline."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import click

from hgs.keyprotection import certificates
from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.guardian import Guardian, create_guardian_keys
from hgs.keyprotection.metadata import METADATA_MAX, CommunicationsKey, VerifiedMetadata, parse_metadata
from hgs.keyprotection.metadata import serialise_metadata as write_metadata
from hgs.keyprotection.owner_guardian import check_passphrase, lock_owner_guardian, serialise_owner_guardian
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record, show_rows
from tenants.cli.files import read_limited, read_secret_line, write_file
from tenants.cli.guardian_store import confirm_fingerprint, store_from
from tenants.cli.owner import EXISTING, WRITABLE, ask_secret, read_owner, unlock_owner

STORE_OPTION = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of known guardians. [default: ~/.config/gf/guardians]",
)


@click.group()
def guardian() -> None:
    """Your own guardian, and the guardians you trust with your virtual machines."""


@guardian.command()
@click.argument("name")
@click.option("--out", "-o", type=WRITABLE, required=True, help="File to write; keep it and its passphrase safe.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is the passphrase; asked for otherwise.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@output_option
def new(name: str, out: Path, passphrase_file: Path | None, force: bool, output: Format) -> None:
    """Make an owner guardian: the keys that own your shielded virtual machines.

    Whoever has the file and its passphrase can open and change what it owns; without them nobody can.
    """
    if out.exists() and not force:
        raise CliError(f"{out} exists already.", "Choose another name, or overwrite it with --force.")
    asked = "New passphrase", "--passphrase-file"
    passphrase = read_secret_line(passphrase_file) if passphrase_file else ask_secret(*asked, twice=True)
    check_passphrase(passphrase)
    keys = create_guardian_keys(name, dt.datetime.now(dt.UTC))
    write_file(out, serialise_owner_guardian(lock_owner_guardian(keys, passphrase)), force=force, private=True)
    _show(_record(keys.guardian, {"kind": "owner", "path": str(out)}), output)


@guardian.command(name="import")
@click.argument("metadata", type=EXISTING)
@click.option("--name", required=True, help="What to call the guardian here.")
@click.option("--fingerprint", help="The fingerprint you were given; asked to compare by eye otherwise.")
@click.option("--replace", is_flag=True, help="Accept another fingerprint for a name that is known.")
@STORE_OPTION
@output_option
def import_(
    metadata: Path, name: str, fingerprint: str | None, replace: bool, store: Path | None, output: Format
) -> None:
    """Trust the guardian whose METADATA file a Host Guardian Service published."""
    document = read_limited(metadata, METADATA_MAX)
    verified = parse_metadata(document).verify(name)
    _warn_of_dates(verified)
    confirm_fingerprint(verified, fingerprint)
    store_from(store).save(name, document, verified, replace=replace)
    _show(_metadata_record(verified), output)


@guardian.command(name="list")
@STORE_OPTION
@output_option
def list_(store: Path | None, output: Format) -> None:
    """List the guardians you imported."""
    known = store_from(store)
    rows = [_metadata_record(known.load(name)) for name in known.names()]
    columns = [("name", "NAME"), ("fingerprint", "METADATA SIGNED BY"), ("valid_until", "CERTIFICATE VALID UNTIL")]
    show_rows(rows, columns, output)


@guardian.command()
@click.argument("guardian_or_file", metavar="NAME|FILE")
@STORE_OPTION
@output_option
def show(guardian_or_file: str, store: Path | None, output: Format) -> None:
    """Show an imported guardian by NAME, or an owner guardian or metadata FILE. Needs no passphrase."""
    path = Path(guardian_or_file)
    if not path.is_file():
        _show(_metadata_record(store_from(store).load(guardian_or_file)), output)
        return
    data = read_limited(path, METADATA_MAX)
    if data.startswith(b"<OwnerGuardian"):
        _show(_record(read_owner(path).guardian, {"kind": "owner", "path": str(path)}), output)
    else:
        _show(_metadata_record(parse_metadata(data).verify("guardian")), output)


@guardian.command()
@click.argument("guardian_or_file", metavar="NAME|FILE")
@click.option("--out", "-o", type=WRITABLE, required=True, help="File to write.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is the owner guardian's passphrase.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@STORE_OPTION
def export(guardian_or_file: str, out: Path, passphrase_file: Path | None, force: bool, store: Path | None) -> None:
    """Write the public half as metadata that others can import.

    For an owner guardian FILE the metadata is signed by its own signing key, which needs the passphrase.
    """
    path = Path(guardian_or_file)
    if path.is_file():
        keys = unlock_owner(path, passphrase_file)
        signer = CommunicationsKey(keys.guardian.signing_certificate, keys.signing_key)
        document, fingerprint = write_metadata(keys.guardian, signer), signer.fingerprint
    else:
        known = store_from(store)
        fingerprint = known.load(guardian_or_file).fingerprint
        document = read_limited(known.directory / guardian_or_file / "metadata.xml", METADATA_MAX)
    write_file(out, document, force=force)
    click.echo(f"{out} is written. Tell those who import it the fingerprint\n  {grouped(fingerprint)}")


def _metadata_record(verified: VerifiedMetadata) -> dict[str, Any]:
    return _record(verified.guardian, {"kind": "guardian", "fingerprint": grouped(verified.fingerprint)})


def _record(guardian: Guardian, more: dict[str, Any]) -> dict[str, Any]:
    signing = certificates.load_certificate(guardian.signing_certificate)
    return {
        "name": guardian.name,
        "signing_certificate": grouped(guardian.fingerprint),
        "encryption_certificate": grouped(certificates.fingerprint(guardian.encryption_certificate)),
        "valid_until": signing.not_valid_after_utc.date().isoformat(),
        **more,
    }


def _show(record: dict[str, Any], output: Format) -> None:
    fields = [
        ("name", "Name"),
        ("kind", "Kind"),
        ("path", "File"),
        ("fingerprint", "Metadata signed by"),
        ("signing_certificate", "Signing certificate"),
        ("encryption_certificate", "Encryption certificate"),
        ("valid_until", "Valid until"),
    ]
    show_record(record, [(key, title) for key, title in fields if key in record], output)


def _warn_of_dates(verified: VerifiedMetadata) -> None:
    now = dt.datetime.now(dt.UTC)
    for der in (verified.guardian.signing_certificate, verified.guardian.encryption_certificate):
        certificate = certificates.load_certificate(der)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            subject = certificate.subject.rfc4514_string()
            click.echo(
                f"warning: the certificate {subject} is not valid today; HGS ignores dates, you may not.", err=True
            )
