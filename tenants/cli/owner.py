"""Opening the tenant's own guardian: the passphrase comes from a file or a hidden prompt, never the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.owner_guardian import OWNER_FILE_MAX, OwnerGuardianFile, parse_owner_guardian
from hgs.keyprotection.secret import Secret
from portal.cli.failure import CliError
from tenants.cli.files import read_limited, read_secret_line

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
WRITABLE = click.Path(dir_okay=False, path_type=Path)


def read_owner(path: Path) -> OwnerGuardianFile:
    """Read an owner guardian file. Raises GuardianError."""
    return parse_owner_guardian(read_limited(path, OWNER_FILE_MAX))


def unlock_owner(path: Path, passphrase_file: Path | None) -> GuardianKeys:
    """Read and unlock an owner guardian. Raises GuardianError."""
    owner = read_owner(path)
    if passphrase_file is not None:
        return owner.unlock(read_secret_line(passphrase_file))
    return owner.unlock(ask_secret(f"Passphrase of {path.name}", "--passphrase-file"))


def ask_secret(prompt: str, option: str, *, twice: bool = False) -> Secret:
    """Ask without echo, twice for a new secret. Raises CliError where nobody can answer.

    `option` names a file that holds the secret instead.
    """
    try:
        return Secret(str(click.prompt(prompt, hide_input=True, confirmation_prompt=twice, err=True)).encode())
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise CliError(f"{prompt}: nobody is there to ask.", f"Give {option} FILE, a file with one line.") from None
