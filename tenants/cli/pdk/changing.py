"""`gf pdk change`: what only the owner can do with a file that exists. The content stays, its key does not."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from fabric.shielding.pdk import PDK_MAX, Pdk, PdkChange, RecoveryKey, change_pdk, parse_pdk
from fabric.shielding.viq import VolumeIdQualifier
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option
from tenants.cli.files import read_limited, write_file
from tenants.cli.guardian import STORE_OPTION
from tenants.cli.guardian_store import GuardianStore, signing_fingerprints, store_from
from tenants.cli.owner import EXISTING, WRITABLE, unlock_owner
from tenants.cli.pdk.choices import DEFAULT_RULE, POLICIES
from tenants.cli.pdk.showing import public_record, show
from tenants.cli.trust import RULES, find_guardian, qualifier_from_catalog, qualifier_from_text

_FINGERPRINT = re.compile(r"(?:[0-9a-fA-F]{2}[: ]?){32}")


@click.command()
@click.argument("file", type=EXISTING)
@click.option("--owner", type=EXISTING, required=True, help="Your owner guardian file.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is its passphrase; asked for otherwise.")
@click.option("--policy", type=click.Choice(list(POLICIES)), help="Another policy.")
@click.option("--guardian", "guardians", multiple=True, help="Imported guardian to let in. Repeatable.")
@click.option(
    "--remove-guardian", "removed", multiple=True,
    help="Guardian to put out: its name, or a certificate's fingerprint. Repeatable.",
)  # fmt: skip
@click.option("--catalog", "catalogs", multiple=True, type=EXISTING, help="Catalog of a further template. Repeatable.")
@click.option("--rule", type=click.Choice(list(RULES)), default=DEFAULT_RULE, show_default=True)
@click.option("--qualifier", "qualifiers", multiple=True, help="NAME,FINGERPRINT,VERSION,RULE instead of --catalog.")
@click.option(
    "--remove-disk", "disks", multiple=True, help="Disk to trust no longer: NAME or NAME,VERSION. Repeatable."
)
@click.option("--replace-disks", is_flag=True, help="Trust only the disks named now.")
@click.option(
    "--escrow-recovery-key/--no-escrow-recovery-key", default=None, help="Whether hosts leave you a recovery key."
)
@click.option("--out", "-o", type=WRITABLE, help="Changed file to write; FILE itself with --force.")
@click.option("--force", is_flag=True, help="Overwrite; FILE as it was is kept beside.")
@STORE_OPTION
@output_option
def change(
    file: Path,
    owner: Path,
    passphrase_file: Path | None,
    policy: str | None,
    guardians: tuple[str, ...],
    removed: tuple[str, ...],
    catalogs: tuple[Path, ...],
    rule: str,
    qualifiers: tuple[str, ...],
    disks: tuple[str, ...],
    replace_disks: bool,
    escrow_recovery_key: bool | None,
    out: Path | None,
    force: bool,
    store: Path | None,
    output: Format,
) -> None:
    """Change policy, guardians, trusted disks or the wish for a recovery key of a shielding data FILE.

    Answer file and other files stay. The new file has a key of its own: who can open the old one cannot open the new
    one by that. Virtual machines made before are not changed, and their recovery keys open with the old file only.
    """
    target = _target(file, out, force)
    before = parse_pdk(data := read_limited(file, PDK_MAX))
    known = store_from(store)
    added = [qualifier_from_catalog(path, RULES[rule]) for path in catalogs]
    added += [qualifier_from_text(text) for text in qualifiers]
    wanted = PdkChange(
        policy=POLICIES[policy] if policy else None,
        qualifiers=_qualifiers(before, added, disks, replace_disks),
        recovery_key=_wish(escrow_recovery_key),
        add=[find_guardian(name, known) for name in guardians],
        remove=[_fingerprint_in(before, name, known) for name in removed],
    )
    changed = change_pdk(before, unlock_owner(owner, passphrase_file), wanted, os.urandom)
    kept = _keep(file, before, data) if target == file else None
    write_file(target, changed, force=force)
    record = public_record(parse_pdk(changed), changed, known.names_by_fingerprint()) | {"path": str(target)}
    show(record | ({"kept": str(kept)} if kept else {}), output)


def _target(file: Path, out: Path | None, force: bool) -> Path:
    target = out or file
    if target.exists() and target.samefile(file):
        if not force:
            raise CliError(
                f"{file} would be changed itself.", "Name another file with --out, or change it in place with --force."
            )
        return file
    if target.exists() and not force:
        raise CliError(f"{target} exists already.", "Choose another name, or overwrite it with --force.")
    return target


def _keep(file: Path, before: Pdk, data: bytes) -> Path:
    """The old file, named by its key protector: recovery keys of VMs made from it open with it alone."""
    kept = file.with_name(f"{file.stem}-{before.protector.id[:12]}{file.suffix}")
    if not kept.exists():
        write_file(kept, data, force=False)
    return kept


def _wish(escrow: bool | None) -> RecoveryKey | None:
    if escrow is None:
        return None
    return RecoveryKey.ESCROW if escrow else RecoveryKey.NONE


def _qualifiers(
    before: Pdk, added: list[VolumeIdQualifier], removed: tuple[str, ...], replaced: bool
) -> list[VolumeIdQualifier] | None:
    if replaced:
        if removed:
            raise click.UsageError("--replace-disks forgets every disk; leave --remove-disk out")
        return added
    kept = list(before.qualifiers)
    for text in removed:
        leaving = [one for one in kept if text in (one.disk_name, f"{one.disk_name},{one.version}")]
        if not leaving:
            raise CliError(f"The shielding data trusts no disk {text}.", "See them with: gf pdk inspect")
        kept = [one for one in kept if one not in leaving]
    return [*kept, *(one for one in added if one not in kept)]


def _fingerprint_in(before: Pdk, name: str, known: GuardianStore) -> str:
    """The fingerprint by which a guardian stands in the file: given as such, or by the guardian's name here."""
    if _FINGERPRINT.fullmatch(name):
        return name.replace(":", "").replace(" ", "").lower()
    of_guardian = signing_fingerprints(known.load(name).guardian)
    found = [fingerprint for fingerprint in before.guardian_fingerprints if fingerprint in of_guardian]
    if not found:
        raise CliError(f"The guardian {name} cannot open this file anyway.", "See who can with: gf pdk inspect")
    return found[0]
