"""Makes a shielding data file from its owner's choices; what is secret comes from files, or is asked for."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from fabric.shielding.answerfile import ANSWER_FILE_MAX, default_linux_answer_file, is_linux_answer_file
from fabric.shielding.content import (
    AUTHORIZED_KEYS,
    CONFIGURATION_SCRIPT,
    CONFIGURATION_SCRIPT_MAX,
    OTHER_FILES_MAX,
    RDP_CERTIFICATE,
    RDP_PASSWORD,
    ROLES,
    SSH_HOST_KEY,
)
from fabric.shielding.pdk import RecoveryKey, ShieldingSecrets, write_pdk
from fabric.shielding.sha512_crypt import hash_password
from fabric.shielding.ssh import check_authorized_keys, host_key_line, new_host_key
from fabric.shielding.unattend import needed_files
from hgs.keyprotection.pfx import PFX_MAX
from hgs.keyprotection.secret import Secret
from portal.cli.failure import CliError
from tenants.cli.files import read_limited, read_secret_line, read_text, write_file
from tenants.cli.guardian_store import store_from
from tenants.cli.owner import ask_secret, unlock_owner
from tenants.cli.pdk.choices import DEFAULT_POLICY, POLICIES, Choices
from tenants.cli.trust import find_guardian

_OPTIONS: Final = {
    SSH_HOST_KEY: "--ssh-host-key",
    AUTHORIZED_KEYS: "--authorized-key",
    CONFIGURATION_SCRIPT: "--configuration-script",
    RDP_CERTIFICATE: "--rdp-certificate",
    RDP_PASSWORD: "--rdp-password-file",
}


@dataclass(frozen=True, slots=True)
class Entered:
    """What was typed already: an answer file made on the way, the RDP certificate's password."""

    answer_file: Secret | None = None
    rdp_password: Secret | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A shielding data file, written; `known_hosts` is the line for its VMs' host key, None if it holds none."""

    data: bytes
    path: Path
    known_hosts: str | None


def check_choices(choices: Choices, force: bool) -> None:
    """Raise click.UsageError or CliError for what can be told before anything is read."""
    for option, given in (("--owner", choices.owner), ("--guardian", choices.guardians), ("--out", choices.out)):
        if not given:
            raise click.UsageError(f"Missing option '{option}'.")
    if choices.out is not None and choices.out.exists() and not force:
        raise CliError(f"{choices.out} exists already.", "Choose another name, or overwrite it with --force.")
    if choices.for_templates and not choices.trusted_disks:
        raise click.UsageError("name at least one trusted template disk with --catalog or --qualifier")
    if not choices.for_templates and choices.trusted_disks:
        raise click.UsageError("shielding data for existing virtual machines names no template disks")
    if choices.admin_password_file and (choices.answer_file or not choices.for_templates):
        raise click.UsageError(
            "--admin-password-file goes into the answer file that is made without --answer-file. "
            "Make a start for your own with: gf answer-file new"
        )
    if choices.rdp_password_file and not choices.rdp_certificate:
        raise click.UsageError("--rdp-password-file is for --rdp-certificate")


def make(choices: Choices, entered: Entered, *, force: bool) -> Made:
    """Write the file; nothing is left behind where that fails. Raises CliError and the packages' errors."""
    check_choices(choices, force)
    if choices.owner is None or choices.out is None:
        raise AssertionError("checked above")
    known = store_from(choices.store)
    trusted = [find_guardian(name, known) for name in choices.guardians]
    accepted = [disk.resolve() for disk in choices.trusted_disks]
    others = _other_files(choices, entered)
    answer_file = _answer_file(choices, entered)
    others |= _host_key(choices, answer_file)
    secrets = ShieldingSecrets(answer_file, others)
    line = f"{alias_of(choices.out)} {host_key_line(others[SSH_HOST_KEY])}" if SSH_HOST_KEY in others else None
    keys = unlock_owner(choices.owner, choices.passphrase_file)
    wish = RecoveryKey.NONE if choices.escrow_recovery_key is False else RecoveryKey.ESCROW
    policy = POLICIES[choices.policy or DEFAULT_POLICY]
    data = write_pdk(
        keys, trusted, policy, accepted, secrets, os.urandom, kind=choices.kind, recovery_key=wish
    )  # fmt: skip
    write_file(choices.out, data, force=force)
    if choices.known_hosts is not None and line is not None:
        with choices.known_hosts.open("a") as file:
            file.write(line + "\n")
    return Made(data, choices.out, line)


def alias_of(file: Path) -> str:
    """What to call the VM's host key in known_hosts, where its address is not known yet."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", file.stem)


def ask_administrators_password() -> Secret:
    """Asked twice, without echo. Raises CliError where nobody can answer."""
    return ask_secret("Administrator's password for the VMs", "--admin-password-file", twice=True)


def _answer_file(choices: Choices, entered: Entered) -> Secret:
    if entered.answer_file is not None:
        found = entered.answer_file
    elif choices.answer_file is not None:
        found = Secret(read_text(choices.answer_file, ANSWER_FILE_MAX).encode())
    elif not choices.for_templates:
        return Secret(b"")
    else:
        given = choices.admin_password_file
        password = read_secret_line(given) if given else ask_administrators_password()
        return Secret(default_linux_answer_file(hash_password(password, os.urandom)).encode())
    _check_references(found, choices)
    return found


def _check_references(answer_file: Secret, choices: Choices) -> None:
    """Refuse a Windows answer file that refers to a file which will not be there."""
    given = {CONFIGURATION_SCRIPT: choices.configuration_script, RDP_CERTIFICATE: choices.rdp_certificate}
    given[RDP_PASSWORD] = choices.rdp_certificate
    for name in needed_files(answer_file.reveal().decode()):
        if given[name] is None:
            option = "--rdp-certificate" if name == RDP_PASSWORD else _OPTIONS[name]
            raise CliError(f"The answer file uses {name}, which was not given.", f"Give it with {option} FILE.")


def _host_key(choices: Choices, answer_file: Secret) -> dict[str, Secret]:
    if choices.ssh_host_key is not None:
        return {SSH_HOST_KEY: Secret(read_limited(choices.ssh_host_key, 16 * 1024))}
    # A Windows guest and a VM that exists already have their own ways.
    if choices.for_templates and is_linux_answer_file(answer_file.reveal().decode()):
        return {SSH_HOST_KEY: new_host_key()}
    return {}


def _other_files(choices: Choices, entered: Entered) -> dict[str, Secret]:
    found: dict[str, Secret] = {}
    for name, path in choices.files:
        if name in ROLES:
            raise click.UsageError(f"--file cannot be called {name}: use {_OPTIONS[name]}")
        if name in found:
            raise click.UsageError(f"two files are called {name}: name one with --file NAME=PATH")
        found[name] = Secret(read_limited(path, OTHER_FILES_MAX))
    if choices.authorized_keys:
        lines = "".join(read_text(path, 64 * 1024) + "\n" for path in choices.authorized_keys)
        found[AUTHORIZED_KEYS] = Secret(check_authorized_keys(lines).encode())
    if choices.configuration_script is not None:
        found[CONFIGURATION_SCRIPT] = Secret(read_limited(choices.configuration_script, CONFIGURATION_SCRIPT_MAX))
    if choices.rdp_certificate is not None:
        found[RDP_CERTIFICATE] = Secret(read_limited(choices.rdp_certificate, PFX_MAX))
        found[RDP_PASSWORD] = entered.rdp_password or _rdp_password(choices)
    return found


def _rdp_password(choices: Choices) -> Secret:
    if choices.rdp_password_file is not None:
        return read_secret_line(choices.rdp_password_file)
    return ask_secret("Password of the RDP certificate's PFX file", "--rdp-password-file")
