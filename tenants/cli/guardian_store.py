"""Guardians a tenant knows, in a folder: their metadata, and the fingerprint that was compared when they came in.

    <store>/<name>/metadata.xml    the guardian's metadata document, as imported
    <store>/<name>/fingerprint     SHA-256 of the communications certificate, 64 hexadecimal digits

Metadata is verified against the pinned fingerprint every time it is read, so a file changed on disk is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hgs.keyprotection import certificates
from hgs.keyprotection.certificates import same_fingerprint
from hgs.keyprotection.errors import GuardianError
from hgs.keyprotection.guardian import Guardian, check_name
from hgs.keyprotection.metadata import METADATA_MAX, VerifiedMetadata, parse_metadata
from portal.cli.failure import CliError
from portal.cli.rest import config_directory
from tenants.cli.files import read_limited, read_text, write_file

_METADATA = "metadata.xml"
_FINGERPRINT = "fingerprint"


@dataclass(frozen=True, slots=True)
class GuardianStore:
    """The guardians in one folder."""

    directory: Path

    def names(self) -> list[str]:
        """Names of the guardians in the store, sorted."""
        if not self.directory.is_dir():
            return []
        return sorted(path.name for path in self.directory.iterdir() if (path / _METADATA).is_file())

    def load(self, name: str) -> VerifiedMetadata:
        """A guardian by name, verified against its pin. Raises GuardianError or CliError."""
        check_name(name)
        folder = self.directory / name
        if not (folder / _METADATA).is_file():
            raise CliError(f"There is no guardian called {name}.", "Import it: gf guardian import METADATA --name NAME")
        verified = parse_metadata(read_limited(folder / _METADATA, METADATA_MAX)).verify(name)
        if not same_fingerprint(read_text(folder / _FINGERPRINT, 200), verified.fingerprint):
            raise GuardianError(
                "pin", f"The metadata of {name} was changed since it was imported.", "Import the guardian again."
            )
        return verified

    def document(self, name: str) -> tuple[bytes, str]:
        """A guardian's metadata as it was imported, and the fingerprint it is pinned by. Raises as `load`."""
        fingerprint = self.load(name).fingerprint
        return read_limited(self.directory / name / _METADATA, METADATA_MAX), fingerprint

    def pinned_as(self, fingerprint: str) -> str | None:
        """The name under which a communications certificate was accepted, None if it never was."""
        for name in self.names():
            if same_fingerprint(read_text(self.directory / name / _FINGERPRINT, 200), fingerprint):
                return name
        return None

    def names_by_fingerprint(self) -> dict[str, str]:
        """The name of each known guardian by the SHA-256 of every signing certificate of it that is enabled."""
        found: dict[str, str] = {}
        for name in self.names():
            for fingerprint in signing_fingerprints(self.load(name).guardian):
                found.setdefault(fingerprint, name)
        return found

    def save(self, name: str, document: bytes, verified: VerifiedMetadata, *, replace: bool) -> None:
        """Keep a guardian whose fingerprint was compared. Raises CliError for a name with another fingerprint."""
        folder = self.directory / check_name(name)
        pin = folder / _FINGERPRINT
        if pin.is_file() and not same_fingerprint(read_text(pin, 200), verified.fingerprint) and not replace:
            raise CliError(
                f"A guardian called {name} with another fingerprint is known already.",
                "Choose another --name, or replace it with --replace once you know why it changed.",
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(pin, f"{verified.fingerprint}\n".encode(), force=True)
        write_file(folder / _METADATA, document, force=True)


def signing_fingerprints(guardian: Guardian) -> tuple[str, ...]:
    """SHA-256 of each signing certificate of a guardian, the primary one first."""
    others = (certificates.fingerprint(der) for der in guardian.other_signing_certificates)
    return guardian.fingerprint, *others


def default_store() -> GuardianStore:
    """`~/.config/gf/guardians`."""
    return GuardianStore(config_directory() / "guardians")


def store_from(directory: Path | None) -> GuardianStore:
    """The store in `directory`, or the default one."""
    return default_store() if directory is None else GuardianStore(directory)
