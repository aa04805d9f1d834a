"""Searches every file of a fabric for a secret, as it is and as programs write bytes down."""

import base64
from collections.abc import Iterator
from pathlib import Path

CHUNK = 16 << 20


def written_forms(secret: str | bytes) -> list[bytes]:
    """The secret as UTF-8 and UTF-16, reversed, in hex, and in base64 at each of the three alignments."""
    raw = secret.encode() if isinstance(secret, str) else secret
    wide = [secret.encode("utf-16-le")] if isinstance(secret, str) else [repr(secret)[2:-1].encode()]
    # A base64 group covers three bytes: the first and last group depend on the neighbours and are left out.
    encoded = [base64.b64encode(b"\0" * lead + raw)[4:-4] for lead in range(3)]
    return [raw, raw[::-1], *wide, raw.hex().encode(), raw.hex().upper().encode(), *encoded]


def places_with(secret: str | bytes, folder: Path) -> set[Path]:
    """The regular files below `folder` that hold the secret in some form: databases, broker, logs, library, disks."""
    forms = written_forms(secret)
    return {path for path in _files(folder) if _holds(path, forms)}


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


def _holds(path: Path, forms: list[bytes]) -> bool:
    overlap = max(map(len, forms))
    tail = b""
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            text = tail + block
            if any(form in text for form in forms):
                return True
            tail = text[-overlap:]
    return False
