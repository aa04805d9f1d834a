"""Disks that an operator put into `TEMPLATE_IMPORT_DIR`, so that large ones need no upload.

A file is named by its plain name. Links are not followed: whoever may name a file must not reach others by it.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

from portal.kernel.errors import Invalid

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()+-]{0,199}")
_KINDS: Final = (".vhdx", ".vhd", ".qcow2", ".raw", ".img")
BOOT_CERTIFICATE: Final = "-boot-certificate.pem"
_CERTIFICATE_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A disk of the import folder; `size` in bytes."""

    name: str
    size: int
    has_boot_certificate: bool


def import_files() -> list[ImportFile]:
    """What can be imported, by name; nothing where there is no such folder."""
    try:
        found = sorted(path for path in _folder().iterdir() if _is_disk(path))
    except OSError:
        return []
    return [ImportFile(path.name, path.stat().st_size, _plain_file(_certificate_of(path))) for path in found]


def import_path(name: str) -> Path:
    """The path of a disk in the folder. Raises `Invalid` (`import-file-unknown`), field `disk`."""
    path = _folder() / name
    if not _NAME.fullmatch(name) or not _is_disk(path):
        sentence = "The import folder has no such disk."
        raise Invalid("import-file-unknown", sentence, "Choose another one.", fields={"disk": sentence})
    return path


def boot_certificate_beside(name: str) -> bytes:
    """The certificate beside a disk of the folder, empty if there is none. Raises `Invalid` as `import_path`."""
    path = _certificate_of(import_path(name))
    if not _plain_file(path):
        return b""
    with path.open("rb") as stream:
        return stream.read(_CERTIFICATE_MAX)


def _certificate_of(disk: Path) -> Path:
    return disk.with_name(f"{disk.stem}{BOOT_CERTIFICATE}")


def _is_disk(path: Path) -> bool:
    return path.suffix.lower() in _KINDS and bool(_NAME.fullmatch(path.name)) and _plain_file(path)


def _plain_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _folder() -> Path:
    return Path(settings.TEMPLATE_IMPORT_DIR)
