"""`gf guardian`: the tenant's own guardian and the guardians it trusts. Works offline."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import click

from hgs.keyprotection import certificates
from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.guardian import Guardian, GuardianKeys, create_guardian_keys
from hgs.keyprotection.metadata import METADATA_MAX, CommunicationsKey, VerifiedMetadata, parse_metadata
from hgs.keyprotection.metadata import serialise_metadata as write_metadata
from hgs.keyprotection.owner_guardian import check_passphrase, lock_owner_guardian, serialise_owner_guardian
from hgs.keyprotection.secret import Secret
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record, show_rows
from tenants.cli.files import read_limited, read_secret_line, write_file
from tenants.cli.guardian_pfx import Which, read_keys, write_keys
from tenants.cli.guardian_store import store_from
from tenants.cli.guardian_trust import check_dates, check_trust
from tenants.cli.owner import EXISTING, WRITABLE, ask_secret, read_owner, unlock_owner

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
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
    _check_absent(out, force=force)
    passphrase = _new_passphrase(passphrase_file)
    _write_owner(create_guardian_keys(name, dt.datetime.now(dt.UTC)), out, passphrase, force=force, output=output)


@guardian.command(name="import")
@click.argument("metadata", type=EXISTING, required=False)
@click.option("--name", required=True, help="What to call the guardian here.")
@click.option("--fingerprint", help="The fingerprint you were given; asked to compare by eye otherwise.")
@click.option("--ca", type=EXISTING, help="PEM file of certification authorities that you trust to name guardians.")
@click.option("--allow-untrusted-root", is_flag=True, help="Take it though nothing says whose it is.")
@click.option("--allow-expired", is_flag=True, help="Take it though its certificates are not valid today.")
@click.option("--replace", is_flag=True, help="Accept another fingerprint for a name that is known.")
@click.option("--pfx", type=(EXISTING, EXISTING), help="Instead of METADATA: the signing and encryption PFX files.")
@click.option("--pfx-passphrase-file", type=EXISTING, help="File whose only line is the passphrase of both.")
@click.option("--out", "-o", type=WRITABLE, help="With --pfx: the owner guardian file to write.")
@click.option("--passphrase-file", type=EXISTING, help="With --pfx: file with the passphrase of the file to write.")
@click.option("--force", is_flag=True, help="With --pfx: overwrite the file.")
@STORE_OPTION
@output_option
def import_(
    metadata: Path | None,
    name: str,
    fingerprint: str | None,
    ca: Path | None,
    allow_untrusted_root: bool,
    allow_expired: bool,
    replace: bool,
    pfx: tuple[Path, Path] | None,
    pfx_passphrase_file: Path | None,
    out: Path | None,
    passphrase_file: Path | None,
    force: bool,
    store: Path | None,
    output: Format,
) -> None:
    """Trust the guardian whose METADATA file a Host Guardian Service published.

    With --pfx SIGNING ENCRYPTION instead, make an owner guardian file from keys that you have already.
    """
    if (metadata is None) == (pfx is None):
        raise click.UsageError("name either a METADATA file or --pfx SIGNING ENCRYPTION")
    if pfx is not None:
        if out is None:
            raise click.UsageError("name the owner guardian file to write with --out")
        _check_absent(out, force=force)
        keys = read_keys(name, *pfx, pfx_passphrase_file)
        _write_owner(keys, out, _new_passphrase(passphrase_file), force=force, output=output)
    elif metadata is not None:
        document = read_limited(metadata, METADATA_MAX)
        verified = parse_metadata(document).verify(name)
        check_dates(verified, dt.datetime.now(dt.UTC), allow_expired=allow_expired)
        check_trust(verified, fingerprint, ca, allow_untrusted_root=allow_untrusted_root)
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
@click.option("--out", "-o", type=WRITABLE, help="Metadata file to write.")
@click.option("--pfx", type=FOLDER, help="Folder to write an owner guardian's private keys to, instead of metadata.")
@click.option("--keys", type=click.Choice(["both", "signing", "encryption"]), default="both", show_default=True)
@click.option("--pfx-passphrase-file", type=EXISTING, help="File whose only line is a passphrase for the PFX files.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is the owner guardian's passphrase.")
@click.option("--force", is_flag=True, help="Overwrite files.")
@STORE_OPTION
def export(
    guardian_or_file: str,
    out: Path | None,
    pfx: Path | None,
    keys: Which,
    pfx_passphrase_file: Path | None,
    passphrase_file: Path | None,
    force: bool,
    store: Path | None,
) -> None:
    """Write the public half as metadata that others can import.

    For an owner guardian FILE the metadata is signed by its own signing key, which needs the passphrase. With --pfx its
    private keys are written instead, as signing.pfx and encryption.pfx.
    """
    if (out is None) == (pfx is None):
        raise click.UsageError("name either a metadata file with --out or a folder with --pfx")
    path = Path(guardian_or_file)
    if pfx is not None:
        if not path.is_file():
            raise CliError(
                "Only an owner guardian file holds private keys.", "Name the file that gf guardian new wrote."
            )
        write_keys(unlock_owner(path, passphrase_file), pfx, keys, pfx_passphrase_file, force=force)
    elif out is not None:
        known = store_from(store)
        document, fingerprint = (
            _metadata_of_owner(path, passphrase_file) if path.is_file() else known.document(guardian_or_file)
        )
        write_file(out, document, force=force)
        click.echo(f"{out} is written. Tell those who import it the fingerprint\n  {grouped(fingerprint)}")


def _metadata_of_owner(path: Path, passphrase_file: Path | None) -> tuple[bytes, str]:
    keys = unlock_owner(path, passphrase_file)
    signer = CommunicationsKey(keys.guardian.signing_certificate, keys.signing_key)
    return write_metadata(keys.guardian, signer), signer.fingerprint


def _check_absent(out: Path, *, force: bool) -> None:
    if out.exists() and not force:
        raise CliError(f"{out} exists already.", "Choose another name, or overwrite it with --force.")


def _new_passphrase(file: Path | None) -> Secret:
    passphrase = read_secret_line(file) if file else ask_secret("New passphrase", "--passphrase-file", twice=True)
    check_passphrase(passphrase)
    return passphrase


def _write_owner(keys: GuardianKeys, out: Path, passphrase: Secret, *, force: bool, output: Format) -> None:
    write_file(out, serialise_owner_guardian(lock_owner_guardian(keys, passphrase)), force=force, private=True)
    _show(_record(keys.guardian, {"kind": "owner", "path": str(out)}), output)


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
