"""Reading and writing the tenant's files: size limits before reading, no file overwritten unasked, secrets private."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hgs.keyprotection.secret import Secret
from portal.cli.failure import CliError


def read_limited(path: Path, limit: int) -> bytes:
    """A file's bytes, at most `limit`. Raises CliError."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise CliError(f"{path} has more than {limit // 1024} KiB.", "Check that it is the right file.")
    return data


def read_text(path: Path, limit: int) -> str:
    """A UTF-8 text file. Raises CliError."""
    try:
        return read_limited(path, limit).decode()
    except UnicodeDecodeError:
        raise CliError(f"{path} is not UTF-8 text.") from None


def read_secret_line(path: Path) -> Secret:
    """The first and only line of a file, such as a passphrase. Raises CliError."""
    content = read_limited(path, 4096).removesuffix(b"\n").removesuffix(b"\r")
    if not content or b"\n" in content:
        raise CliError(f"{path} should hold exactly one line.", "Put the secret on its first line and nothing else.")
    return Secret(content)


def write_file(path: Path, data: bytes, *, force: bool, private: bool = False) -> None:
    """Write a file that appears only when complete; `private` = only its owner may read it. Raises CliError."""
    if path.exists() and not force:
        raise CliError(f"{path} exists already.", "Choose another name, or overwrite it with --force.")
    if not path.parent.is_dir():
        raise CliError(f"There is no folder {path.parent}.", "Make it, or write to another place.")
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        partial.chmod(0o600 if private else 0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
