"""`gf pdk`: shielding data files, made and inspected offline."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import click

from fabric.shielding.answerfile import (
    ANSWER_FILE_MAX,
    check_answer_file,
    default_linux_answer_file,
    is_linux_answer_file,
    parse_linux_answer_file,
    placeholders,
)
from fabric.shielding.content import AUTHORIZED_KEYS, OTHER_FILES_MAX, SSH_HOST_KEY
from fabric.shielding.pdk import PDK_MAX, Pdk, Policy, ShieldingSecrets, open_pdk, parse_pdk, write_pdk
from fabric.shielding.sha512_crypt import hash_password
from fabric.shielding.ssh import check_authorized_keys, host_key_line, new_host_key
from fabric.shielding.viq import Accepted, Refused
from hgs.keyprotection import protector
from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.secret import Secret
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record
from tenants.cli.files import read_limited, read_secret_line, read_text, write_file
from tenants.cli.guardian import STORE_OPTION
from tenants.cli.guardian_store import store_from
from tenants.cli.owner import EXISTING, WRITABLE, ask_secret, unlock_owner
from tenants.cli.pdk_page import page
from tenants.cli.trust import RULES, describe, find_guardian, qualifier_from_catalog, qualifier_from_text, read_catalog

POLICIES = {"shielded": Policy.SHIELDED, "encryption-supported": Policy.ENCRYPTION_SUPPORTED}


@click.group()
def pdk() -> None:
    """Shielding data files: the secrets of new shielded virtual machines, sealed to the guardians you trust."""


pdk.add_command(page)


@pdk.command()
@click.option("--owner", type=EXISTING, required=True, help="Your owner guardian file.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is its passphrase; asked for otherwise.")
@click.option("--guardian", "guardians", multiple=True, required=True, help="Name of an imported guardian. Repeatable.")
@click.option("--catalog", "catalogs", multiple=True, type=EXISTING, help="Catalog of a trusted template. Repeatable.")
@click.option(
    "--rule", type=click.Choice(list(RULES)), default="equals", show_default=True, help="Versions --catalog accepts."
)
@click.option("--qualifier", "qualifiers", multiple=True, help="NAME,FINGERPRINT,VERSION,RULE instead of --catalog.")
@click.option("--policy", type=click.Choice(list(POLICIES)), default="shielded", show_default=True)
@click.option("--answer-file", type=EXISTING, help="Your own answer file; a Linux one is made otherwise.")
@click.option("--admin-password-file", type=EXISTING, help="File whose only line is the administrator's password.")
@click.option("--ssh-host-key", type=EXISTING, help="OpenSSH Ed25519 private key of the VM; made otherwise.")
@click.option("--known-hosts", type=WRITABLE, help="Append the VM's host key to this file.")
@click.option("--authorized-key", "authorized_keys", multiple=True, type=EXISTING, help="Public key file. Repeatable.")
@click.option("--file", "files", multiple=True, help="Another file, PATH or NAME=PATH. Repeatable; 384 KiB in all.")
@click.option("--out", "-o", type=WRITABLE, required=True, help="Shielding data file to write.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@STORE_OPTION
@output_option
def new(
    owner: Path,
    passphrase_file: Path | None,
    guardians: tuple[str, ...],
    catalogs: tuple[Path, ...],
    rule: str,
    qualifiers: tuple[str, ...],
    policy: str,
    answer_file: Path | None,
    admin_password_file: Path | None,
    ssh_host_key: Path | None,
    known_hosts: Path | None,
    authorized_keys: tuple[Path, ...],
    files: tuple[str, ...],
    out: Path,
    force: bool,
    store: Path | None,
    output: Format,
) -> None:
    """Make a shielding data file.

    It may be uploaded to any portal: only a host that your guardians' Host Guardian Service finds healthy can open
    it, and only for a template disk that you name here.
    """
    if out.exists() and not force:
        raise CliError(f"{out} exists already.", "Choose another name, or overwrite it with --force.")
    if not catalogs and not qualifiers:
        raise click.UsageError("name at least one trusted template disk with --catalog or --qualifier")
    known = store_from(store)
    trusted = [find_guardian(name, known) for name in guardians]
    accepted = [qualifier_from_catalog(path, RULES[rule]) for path in catalogs]
    accepted += [qualifier_from_text(text) for text in qualifiers]
    host_key = Secret(read_limited(ssh_host_key, 16 * 1024)) if ssh_host_key else new_host_key()
    host_line = f"{_alias(out)} {host_key_line(host_key)}"
    others = {SSH_HOST_KEY: host_key, **_other_files(files)}
    if authorized_keys:
        others[AUTHORIZED_KEYS] = _authorized_keys(authorized_keys)
    secrets = ShieldingSecrets(_answer_file(answer_file, admin_password_file), others)
    keys = unlock_owner(owner, passphrase_file)
    data = write_pdk(keys, trusted, POLICIES[policy], accepted, secrets, os.urandom)
    write_file(out, data, force=force)
    if known_hosts is not None:
        _append_line(known_hosts, host_line)
    record = _record(parse_pdk(data), data) | {"path": str(out), "known_hosts": host_line}
    _show(record, output)
    if output == "table" and known_hosts is None:
        click.echo(f"Keep the known_hosts line, and connect with: ssh -o HostKeyAlias={_alias(out)} …")


def _alias(file: Path) -> str:
    """What to call the VM's host key in known_hosts, where its address is not known yet."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", file.stem)


def _answer_file(path: Path | None, password_file: Path | None) -> Secret:
    if path is None:
        password = read_secret_line(password_file) if password_file else _ask_password()
        return Secret(default_linux_answer_file(hash_password(password, os.urandom)).encode())
    if password_file is not None:
        raise click.UsageError(
            "--admin-password-file goes into the answer file that is made without --answer-file. "
            "Make a start for your own with: gf pdk answer-file"
        )
    return Secret(read_text(path, ANSWER_FILE_MAX).encode())


def _ask_password() -> Secret:
    return ask_secret("Administrator's password for the VMs", "--admin-password-file", twice=True)


def _authorized_keys(paths: tuple[Path, ...]) -> Secret:
    lines = "".join(read_text(path, 64 * 1024) + "\n" for path in paths)
    return Secret(check_authorized_keys(lines).encode())


def _other_files(arguments: tuple[str, ...]) -> dict[str, Secret]:
    found: dict[str, Secret] = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        path = Path(text if separator else argument)
        name = name if separator else path.name
        if name in (SSH_HOST_KEY, AUTHORIZED_KEYS):
            raise click.UsageError(f"--file cannot be called {name}: use --ssh-host-key or --authorized-key")
        if name in found:
            raise click.UsageError(f"two files are called {name}: name one with --file NAME=PATH")
        found[name] = Secret(read_limited(path, OTHER_FILES_MAX))
    return found


def _append_line(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


@pdk.command(name="answer-file")
@click.option("--admin-password-file", type=EXISTING, help="File whose only line is the administrator's password.")
@click.option("--out", "-o", type=WRITABLE, required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def answer_file_(admin_password_file: Path | None, out: Path, force: bool) -> None:
    """Write a Linux answer file to edit, for `gf pdk new --answer-file`."""
    text = _answer_file(None, admin_password_file).reveal()
    write_file(out, text, force=force, private=True)
    click.echo(f"{out} is written. The fabric fills in {', '.join(placeholders(text.decode()))}.")


@pdk.command()
@click.argument("file", type=EXISTING)
@click.option("--owner", type=EXISTING, help="Your owner guardian file: shows what is encrypted, too.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is its passphrase; asked for otherwise.")
@STORE_OPTION
@output_option
def inspect(file: Path, owner: Path | None, passphrase_file: Path | None, store: Path | None, output: Format) -> None:
    """Check a shielding data FILE and show what it says. Passwords and private keys are never shown."""
    data = read_limited(file, PDK_MAX)
    parsed = parse_pdk(data)
    record = _record(parsed, data, store_from(store).names_by_fingerprint()) | {"path": str(file)}
    if owner is not None:
        keys = unlock_owner(owner, passphrase_file)
        record |= _content(open_pdk(parsed, protector.unwrap(parsed.protector, keys)), _alias(file))
    _show(record, output)


@pdk.command()
@click.argument("file", type=EXISTING)
@click.option("--catalog", type=EXISTING, required=True, help="Volume signature catalog of the template disk.")
@output_option
def test(file: Path, catalog: Path, output: Format) -> None:
    """Tell whether a shielding data FILE accepts a template disk, and if not, why."""
    parsed, identity = parse_pdk(read_limited(file, PDK_MAX)), read_catalog(catalog)
    disk = f"{identity.disk_name} {identity.version}"
    decision = parsed.applies_to(identity)
    if isinstance(decision, Accepted):
        record = {"accepted": True, "disk": disk, "by": describe(decision.qualifier)["sentence"]}
        show_record(record, [("disk", "Accepted"), ("by", "By the rule")], output)
        return
    decisions = [(qualifier, qualifier.accepts(identity)) for qualifier in parsed.qualifiers]
    reasons = [f"{describe(q)['sentence']}: {d.reason}" for q, d in decisions if isinstance(d, Refused)]
    if output == "json":
        show_record({"accepted": False, "disk": disk, "code": decision.code, "reasons": reasons}, [], output)
    raise CliError(
        f"The shielding data does not accept {disk}.",
        "Use the template disk it was made for, or make new shielding data with this disk's catalog.",
        details=tuple(reasons),
    )


def _record(parsed: Pdk, data: bytes, names: dict[str, str] | None = None) -> dict[str, Any]:
    guardians = [_named(fingerprint, names or {}) for fingerprint in parsed.guardian_fingerprints]
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "type": str(parsed.type),
        "policy": str(parsed.policy),
        "owner": grouped(parsed.owner_fingerprint),
        "guardians": guardians,
        "qualifiers": [describe(qualifier) for qualifier in parsed.qualifiers],
    }


def _named(fingerprint: str, names: dict[str, str]) -> str:
    return f"{grouped(fingerprint)} ({names[fingerprint]})" if fingerprint in names else grouped(fingerprint)


def _content(secrets: ShieldingSecrets, alias: str) -> dict[str, Any]:
    text = secrets.answer_file.reveal().decode()
    check_answer_file(text)
    found: dict[str, Any] = {
        "placeholders": list(placeholders(text)),
        "files": [f"{name} ({len(value)} bytes)" for name, value in sorted(secrets.other_files.items())],
    }
    if is_linux_answer_file(text):
        found["answer_file"] = [
            f"{key}={'(hidden)' if key == 'GF_ROOT_PASSWORD_HASH' else value}"
            for key, value in parse_linux_answer_file(text).items()
        ]
    if secrets.ssh_host_key is not None:
        found["known_hosts"] = f"{alias} {host_key_line(secrets.ssh_host_key)}"
    if secrets.authorized_keys is not None:
        found["authorized_keys"] = secrets.authorized_keys.reveal().decode().splitlines()
    return found


def _show(record: dict[str, Any], output: Format) -> None:
    if output == "table":
        record = record | {"qualifiers": [qualifier["sentence"] for qualifier in record["qualifiers"]]}
    fields = [
        ("path", "File"),
        ("sha256", "SHA-256"),
        ("type", "Type"),
        ("policy", "Policy"),
        ("owner", "Owner"),
        ("guardians", "Guardians"),
        ("qualifiers", "Trusted disks"),
        ("answer_file", "Answer file"),
        ("placeholders", "Placeholders"),
        ("files", "Files"),
        ("authorized_keys", "May sign in"),
        ("known_hosts", "known_hosts line"),
    ]
    show_record(record, [(key, title) for key, title in fields if key in record], output)
