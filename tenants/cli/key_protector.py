"""`gf key-protector`: key protectors, made and changed by their owner, shown and verified by anybody. Works offline."""

from __future__ import annotations

import datetime as dt
import os
import re
from pathlib import Path

import click

from hgs.keyprotection import ownership, protector, revocation
from hgs.keyprotection.certificates import grouped, same_fingerprint
from hgs.keyprotection.errors import GuardianError, KeyProtectionError
from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.protector import Protector, VerifiedProtector
from hgs.keyprotection.protector_form import PROTECTOR_MAX, with_length_prefix
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record
from tenants.cli.files import read_limited, write_file
from tenants.cli.guardian import STORE_OPTION
from tenants.cli.guardian_store import GuardianStore, signing_fingerprints, store_from
from tenants.cli.owner import EXISTING, WRITABLE, unlock_owner
from tenants.cli.protector_record import describe, show
from tenants.cli.regrant import regrant_all
from tenants.cli.revocation import send_notice
from tenants.cli.trust import find_guardian

_OWNER = click.option("--owner", type=EXISTING, required=True, help="Your owner guardian file.")
_PASSPHRASE = click.option(
    "--passphrase-file", type=EXISTING, help="File whose only line is its passphrase; asked for otherwise."
)
_OUT = click.option("--out", "-o", type=WRITABLE, required=True, help="Key protector file to write.")
_PREFIX = click.option(
    "--length-prefix", is_flag=True, help="Write the 4-byte length before it that tools of the original expect."
)
_FORCE = click.option("--force", is_flag=True, help="Overwrite files.")
_FINGERPRINT = re.compile(r"[0-9a-fA-F]{64}")


@click.group(name="key-protector")
def key_protector() -> None:
    """Key protectors: who can open what they protect. Only their owner changes that."""


key_protector.add_command(regrant_all, "regrant")
key_protector.add_command(send_notice)


@key_protector.command()
@_OWNER
@_PASSPHRASE
@click.option("--guardian", "guardians", multiple=True, required=True, help="Name of an imported guardian. Repeatable.")
@_OUT
@_PREFIX
@_FORCE
@STORE_OPTION
@output_option
def new(
    owner: Path,
    passphrase_file: Path | None,
    guardians: tuple[str, ...],
    out: Path,
    length_prefix: bool,
    force: bool,
    store: Path | None,
    output: Format,
) -> None:
    """Make a key protector with a new transport key, for you and these guardians."""
    _check_absent(force, out)
    known = store_from(store)
    trusted = [find_guardian(name, known) for name in guardians]
    keys = unlock_owner(owner, passphrase_file)
    made, _ = protector.new_protector(keys, trusted, os.urandom)
    _write(made, out, known, length_prefix=length_prefix, force=force, output=output)


@key_protector.command(name="show")
@click.argument("file", type=EXISTING)
@STORE_OPTION
@output_option
def show_(file: Path, store: Path | None, output: Format) -> None:
    """Check a key protector FILE and show who can open it. Needs no key."""
    show(describe(_read(file), store_from(store)) | {"path": str(file)}, output)


@key_protector.command()
@click.argument("file", type=EXISTING)
@_OWNER
@_PASSPHRASE
@click.option("--guardian", required=True, help="Name of an imported guardian.")
@_OUT
@_PREFIX
@_FORCE
@STORE_OPTION
@output_option
def grant(
    file: Path,
    owner: Path,
    passphrase_file: Path | None,
    guardian: str,
    out: Path,
    length_prefix: bool,
    force: bool,
    store: Path | None,
    output: Format,
) -> None:
    """Let one more guardian open what a key protector FILE protects. The key stays the same."""
    _check_absent(force, out)
    known = store_from(store)
    verified, trusted = _read(file), find_guardian(guardian, known)
    keys = unlock_owner(owner, passphrase_file)
    granted = ownership.grant(verified, keys, trusted)
    _write(granted, out, known, length_prefix=length_prefix, force=force, output=output)


@key_protector.command()
@click.argument("file", type=EXISTING)
@_OWNER
@_PASSPHRASE
@click.option("--guardian", required=True, metavar="NAME|FINGERPRINT", help="The guardian to put out.")
@_OUT
@click.option("--notice", type=WRITABLE, help="Also write a notice by which HGS refuses the FILE from now on.")
@_PREFIX
@_FORCE
@STORE_OPTION
@output_option
def revoke(
    file: Path,
    owner: Path,
    passphrase_file: Path | None,
    guardian: str,
    out: Path,
    notice: Path | None,
    length_prefix: bool,
    force: bool,
    store: Path | None,
    output: Format,
) -> None:
    """Write a key protector FILE anew without a guardian, and without whom it let in. The key stays the same.

    The old file still opens for the guardian that was revoked. With --notice you tell HGS to refuse it.
    """
    _check_absent(force, out, notice)
    known = store_from(store)
    verified = _read(file)
    fingerprints = _fingerprints(guardian, known)
    keys = unlock_owner(owner, passphrase_file)
    revoked = _without(verified, keys, fingerprints)
    if notice is not None:
        now = dt.datetime.now(dt.UTC)
        document = revocation.write_notice(keys, [verified.id], now, verified.owner.signing_certificate)
        write_file(notice, document, force=force)
    _write(revoked, out, known, length_prefix=length_prefix, force=force, output=output)
    if notice is not None:
        click.echo(
            f"{notice} is written. Put {out} in force, start the VM once with it, then let HGS refuse {file}:\n"
            f"  gf key-protector send-notice {notice}",
            err=True,
        )
    else:
        click.echo(f"warning: {file} itself still opens for that guardian; --notice lets HGS refuse it.", err=True)


@key_protector.command()
@click.argument("file", type=EXISTING)
@click.option("--owner", type=EXISTING, help="Your owner guardian file: opens the protector, too.")
@_PASSPHRASE
@click.option("--owner-fingerprint", help="SHA-256 of the signing certificate that the owner must have.")
@STORE_OPTION
@output_option
def verify(
    file: Path,
    owner: Path | None,
    passphrase_file: Path | None,
    owner_fingerprint: str | None,
    store: Path | None,
    output: Format,
) -> None:
    """Check all signatures of a key protector FILE; exit with 1 if one is wrong.

    Without keys everything but the transport key signature can be checked. With --owner the protector is opened and
    that signature is checked, too.
    """
    known = store_from(store)
    keys = None if owner is None else unlock_owner(owner, passphrase_file)
    try:
        verified = _read(file)
        _check_owner(verified, owner_fingerprint)
        if keys is not None:
            ownership.open_as_owner(verified, keys)
    except KeyProtectionError as error:
        if output == "json":
            show_record({"path": str(file), "valid": False, "code": error.code, "reason": error.message}, [], output)
        raise
    checked = {"path": str(file), "valid": True, "transport_key_signature_checked": owner is not None}
    show(describe(verified, known) | checked, output)


def _read(file: Path) -> VerifiedProtector:
    data = read_limited(file, PROTECTOR_MAX + 4)
    return protector.verify_protector(protector.import_protector(data))


def _check_owner(verified: VerifiedProtector, fingerprint: str | None) -> None:
    if fingerprint is not None and not same_fingerprint(fingerprint, verified.owner_fingerprint):
        raise GuardianError(
            "another-owner",
            f"The key protector's owner is another one: {grouped(verified.owner_fingerprint)}.",
            "Do not use it. Ask where it came from.",
        )


def _fingerprints(name_or_fingerprint: str, known: GuardianStore) -> tuple[str, ...]:
    """What a guardian's wrappings may be known by: its signing certificates, older ones too that it still uses."""
    bare = re.sub(r"[\s:\-]", "", name_or_fingerprint)
    if _FINGERPRINT.fullmatch(bare):
        return (bare.lower(),)
    return signing_fingerprints(known.load(name_or_fingerprint).guardian)


def _without(verified: VerifiedProtector, keys: GuardianKeys, fingerprints: tuple[str, ...]) -> Protector:
    """The protector without all wrappings of these. Raises GuardianError where there is none."""
    present = [party.fingerprint for party in ownership.parties(verified) if party.fingerprint in fingerprints]
    revoked = ownership.revoke(verified, keys, present[0] if present else fingerprints[0])
    left = {wrapping.id for wrapping in revoked.wrappings}
    still = [p for p in ownership.parties(verified) if p.wrapping.id in left and p.fingerprint in fingerprints]
    return _without(protector.verify_protector(revoked), keys, fingerprints) if still else revoked


def _check_absent(force: bool, *files: Path | None) -> None:
    for file in files:
        if file is not None and file.exists() and not force:
            raise CliError(f"{file} exists already.", "Choose another name, or overwrite it with --force.")


def _write(
    made: Protector, out: Path, known: GuardianStore, *, length_prefix: bool, force: bool, output: Format
) -> None:
    document = protector.serialise_protector(made)
    record = describe(protector.verify_protector(protector.parse_protector(document)), known)
    write_file(out, with_length_prefix(document) if length_prefix else document, force=force)
    show(record | {"path": str(out)}, output)
