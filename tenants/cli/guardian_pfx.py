"""An owner guardian's keys as PFX files, to and from other tools and tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import click

from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.guardian import GuardianKeys, guardian_keys_from
from hgs.keyprotection.owner_guardian import check_passphrase
from hgs.keyprotection.pfx import PFX_MAX, KeyPair, read_pfx, write_pfx
from hgs.keyprotection.secret import Secret
from portal.cli.failure import CliError
from tenants.cli.files import read_limited, read_secret_line, write_file
from tenants.cli.owner import ask_secret

Which = Literal["signing", "encryption", "both"]
OPTION: Final = "--pfx-passphrase-file"


def write_keys(keys: GuardianKeys, folder: Path, which: Which, passphrase_file: Path | None, *, force: bool) -> None:
    """Write `signing.pfx` and `encryption.pfx`, or one of them, into `folder`. Raises CliError, GuardianError."""
    guardian = keys.guardian
    pairs = {
        "signing": KeyPair(guardian.signing_certificate, keys.signing_key),
        "encryption": KeyPair(guardian.encryption_certificate, keys.encryption_key),
    }
    chosen = {use: pair for use, pair in pairs.items() if which in (use, "both")}
    for use in chosen:
        if (folder / f"{use}.pfx").exists() and not force:
            raise CliError(f"{folder / f'{use}.pfx'} exists already.", "Choose another folder, or use --force.")
    passphrase = _passphrase(passphrase_file, "New passphrase of the PFX files", new=True)
    check_passphrase(passphrase)
    for use, pair in chosen.items():
        path = folder / f"{use}.pfx"
        write_file(path, write_pfx(pair.key, pair.certificate, passphrase), force=force, private=True)
        click.echo(f"{path} is written: the {use} key, certificate\n  {grouped(pair.fingerprint)}")
    click.echo("Whoever has these files and their passphrase can do what the owner can.")


def read_keys(name: str, signing: Path, encryption: Path, passphrase_file: Path | None) -> GuardianKeys:
    """A guardian from two PFX files under one passphrase. Raises GuardianError."""
    passphrase = _passphrase(passphrase_file, "Passphrase of the PFX files", new=False)
    sign = read_pfx(read_limited(signing, PFX_MAX), passphrase, "signing")
    encrypt = read_pfx(read_limited(encryption, PFX_MAX), passphrase, "encryption")
    if sign.key.public_key() == encrypt.key.public_key():
        raise CliError("Both PFX files hold the same key.", "A guardian signs and decrypts with two different keys.")
    return guardian_keys_from(name, sign.certificate, sign.key, encrypt.certificate, encrypt.key)


def _passphrase(file: Path | None, prompt: str, *, new: bool) -> Secret:
    return read_secret_line(file) if file is not None else ask_secret(prompt, OPTION, twice=new)
