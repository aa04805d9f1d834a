"""`gf pdk inspect` and `gf pdk test`: what a shielding data file says, and whether it would be accepted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from fabric.shielding.answerfile import check_value, is_linux_answer_file, missing_values, parse_linux_answer_file
from fabric.shielding.pdk import PDK_MAX, Pdk, ShieldingSecrets, open_pdk, parse_pdk
from fabric.shielding.rdp import check_rdp_certificate
from fabric.shielding.ssh import host_key_line
from fabric.shielding.viq import Accepted, CatalogIdentity, Refused
from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.ownership import open_as_owner
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record
from tenants.cli.files import read_limited
from tenants.cli.guardian import STORE_OPTION
from tenants.cli.guardian_store import store_from
from tenants.cli.owner import EXISTING, unlock_owner
from tenants.cli.pdk.making import alias_of
from tenants.cli.trust import describe, read_catalog
from tenants.cli.values import VALUE_OPTION, values_from

_FIELDS = (
    ("path", "File"), ("kept", "Earlier file"), ("sha256", "SHA-256"), ("version", "Version"),
    ("protector_id", "Key protector"), ("type", "Type"), ("policy", "Policy"), ("owner", "Owner"),
    ("guardians", "Guardians"), ("qualifiers", "Trusted disks"), ("substitution_strings", "Asks for values"),
    ("recovery_key", "Recovery key"), ("answer_file", "Answer file"), ("placeholders", "Placeholders"),
    ("files", "Files"), ("authorized_keys", "May sign in"), ("rdp_certificate", "RDP certificate"),
    ("known_hosts", "known_hosts line"),
)  # fmt: skip


@click.command()
@click.argument("file", type=EXISTING)
@click.option("--owner", type=EXISTING, help="Your owner guardian file: shows what is encrypted, too.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is its passphrase; asked for otherwise.")
@STORE_OPTION
@output_option
def inspect(file: Path, owner: Path | None, passphrase_file: Path | None, store: Path | None, output: Format) -> None:
    """Check a shielding data FILE and show what it says. Passwords and private keys are never shown."""
    data = read_limited(file, PDK_MAX)
    parsed = parse_pdk(data)
    record = public_record(parsed, data, store_from(store).names_by_fingerprint()) | {"path": str(file)}
    if owner is not None:
        record |= _content(_opened(parsed, owner, passphrase_file), alias_of(file))
    show(record, output)


@click.command()
@click.argument("file", type=EXISTING)
@click.option("--catalog", type=EXISTING, help="Volume signature catalog of the template disk.")
@VALUE_OPTION
@click.option("--owner", type=EXISTING, help="Your owner guardian file: for a file that names no values itself.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is its passphrase; asked for otherwise.")
@output_option
def test(
    file: Path, catalog: Path | None, values: tuple[str, ...], owner: Path | None, passphrase_file: Path | None,
    output: Format,
) -> None:  # fmt: skip
    """Tell whether a shielding data FILE accepts a template disk, and if not, why.

    With --value, also whether these are all the values that its answer file asks for.
    """
    if catalog is None and not values:
        raise click.UsageError("say what to test it with: --catalog FILE, --value NAME=VALUE, or both")
    parsed = parse_pdk(read_limited(file, PDK_MAX))
    record: dict[str, Any] = {}
    if catalog is not None:
        record |= _test_disk(parsed, read_catalog(catalog), output)
    if values:
        record |= _test_values(parsed, values, owner, passphrase_file)
    fields = (("disk", "Accepted"), ("by", "By the rule"), ("values", "Values"))
    show_record(record, [(key, title) for key, title in fields if key in record], output)


def _test_disk(parsed: Pdk, identity: CatalogIdentity, output: Format) -> dict[str, Any]:
    disk = f"{identity.disk_name} {identity.version}"
    decision = parsed.applies_to(identity)
    if isinstance(decision, Accepted):
        return {"accepted": True, "disk": disk, "by": describe(decision.qualifier)["sentence"]}
    decisions = [(qualifier, qualifier.accepts(identity)) for qualifier in parsed.qualifiers]
    reasons = [f"{describe(q)['sentence']}: {d.reason}" for q, d in decisions if isinstance(d, Refused)]
    reasons = reasons or [decision.reason]
    if output == "json":
        show_record({"accepted": False, "disk": disk, "code": decision.code, "reasons": reasons}, [], output)
    raise CliError(
        f"The shielding data does not accept {disk}.",
        "Use the template disk it was made for, or make new shielding data with this disk's catalog.",
        details=tuple(reasons),
    )


def _test_values(
    parsed: Pdk, arguments: tuple[str, ...], owner: Path | None, passphrase_file: Path | None
) -> dict[str, Any]:
    values = values_from(arguments)
    for name, value in values.items():
        check_value(name, value)
    needed = parsed.substitution_strings
    if owner is not None:
        needed = _opened(parsed, owner, passphrase_file).substitution_strings
    if needed is None:
        raise CliError(
            "This file is of Version 1 and does not say which values it asks for.",
            "Give --owner FILE to look into it, or bring it up to date with: gf pdk change",
        )
    missing = missing_values(needed, values)
    if missing:
        raise CliError(
            f"The answer file asks for {', '.join(missing)}, and there is no value for it."
            if len(missing) == 1
            else f"The answer file asks for {', '.join(missing)}, and there are no values for them.",
            "Use a fabric that gives them, or put fixed values into the answer file.",
        )
    return {"values": [f"{name}={values[name]}" for name in needed] or ["none are asked for"]}


def _opened(parsed: Pdk, owner: Path, passphrase_file: Path | None) -> ShieldingSecrets:
    keys = unlock_owner(owner, passphrase_file)
    return open_pdk(parsed, open_as_owner(parsed.protector, keys))


def public_record(parsed: Pdk, data: bytes, names: dict[str, str] | None = None) -> dict[str, Any]:
    """What anybody can read in a file; `names` are those of known guardians by fingerprint."""
    guardians = [_named(fingerprint, names or {}) for fingerprint in parsed.guardian_fingerprints]
    record = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "version": parsed.version,
        "protector_id": parsed.protector.id,
        "type": str(parsed.type),
        "policy": str(parsed.policy),
        "owner": grouped(parsed.owner_fingerprint),
        "guardians": guardians,
        "qualifiers": [describe(qualifier) for qualifier in parsed.qualifiers],
        "recovery_key": "escrow" if parsed.escrows_recovery_key else "none",
    }
    if parsed.substitution_strings is not None:
        record["substitution_strings"] = list(parsed.substitution_strings)
    return record


def _named(fingerprint: str, names: dict[str, str]) -> str:
    return f"{grouped(fingerprint)} ({names[fingerprint]})" if fingerprint in names else grouped(fingerprint)


def _content(secrets: ShieldingSecrets, alias: str) -> dict[str, Any]:
    text = secrets.answer_file.reveal().decode()
    found: dict[str, Any] = {
        "placeholders": list(secrets.substitution_strings),
        "files": [f"{name} ({len(value)} bytes)" for name, value in sorted(secrets.other_files.items())],
        "answer_file": [f"unattend.xml ({len(text)} characters)" if text else "none"],
    }
    if text and is_linux_answer_file(text):
        found["answer_file"] = [
            f"{key}={'(hidden)' if key == 'GF_ROOT_PASSWORD_HASH' else value}"
            for key, value in parse_linux_answer_file(text).items()
        ]
    if secrets.ssh_host_key is not None:
        found["known_hosts"] = f"{alias} {host_key_line(secrets.ssh_host_key)}"
    if secrets.authorized_keys is not None:
        found["authorized_keys"] = secrets.authorized_keys.reveal().decode().splitlines()
    if secrets.rdp_certificate is not None:
        certificate = check_rdp_certificate(*secrets.rdp_certificate)
        found["rdp_certificate"] = f"{certificate.subject.rfc4514_string()}, until {certificate.not_valid_after_utc:%F}"
    return found


def show(record: dict[str, Any], output: Format) -> None:
    """Print what is known of a file."""
    if output == "table":
        record = record | {"qualifiers": [qualifier["sentence"] for qualifier in record["qualifiers"]]}
    show_record(record, [(key, title) for key, title in _FIELDS if key in record], output)
