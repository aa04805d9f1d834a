"""A tenant's desk: a folder with an owner guardian, HGS metadata, a password and two catalogs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result

from fabric.disks.blocks import HASH_LENGTH
from fabric.disks.catalog import Catalog, Role, Volume, sign_catalog
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.owner_guardian import lock_owner_guardian, serialise_owner_guardian
from hgs.keyprotection.secret import Secret
from portal.cli import gf
from tests.hgs.keyprotection.guardians import communications, keys_of, lab, owner
from tests.tenants.rolling import PlayedHost

PASSPHRASE = "correct horse"
PASSWORD = "canary-password"


@dataclass(frozen=True)
class Desk:
    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def gf(self, *arguments: str, typed: str | None = None) -> Result:
        """Run gf; the store of guardians is on the desk."""
        return CliRunner().invoke(gf, list(arguments), input=typed, catch_exceptions=False)

    def import_lab(self) -> None:
        fingerprint = communications().fingerprint
        self.done("guardian", "import", self.path("hgs.xml"), "--name", "lab", "--fingerprint", fingerprint)

    def done(self, *arguments: str) -> str:
        """Run gf, which must succeed; its output."""
        result = self.gf(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def new_pdk(self, *more: str, out: str = "web.pdk") -> Result:
        return self.gf(
            *("pdk", "new", "--owner", self.path("owner.guardian"), "--passphrase-file", self.path("passphrase")),
            *("--guardian", "lab", "--catalog", self.path("debian.vsc")),
            *("--admin-password-file", self.path("password"), "-o", self.path(out), *more),
        )


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    locked = lock_owner_guardian(owner(), Secret(PASSPHRASE.encode()), kdf_rounds=1000)
    (tmp_path / "owner.guardian").write_bytes(serialise_owner_guardian(locked))
    (tmp_path / "hgs.xml").write_bytes(serialise_metadata(lab().guardian, communications()))
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "debian.vsc").write_bytes(catalog("Debian 12", "1.0.0.0"))
    (tmp_path / "debian2.vsc").write_bytes(catalog("Debian 12", "2.0.0.0"))
    (tmp_path / "other.vsc").write_bytes(catalog("Other", "1.0.0.0"))
    return Desk(tmp_path)


def catalog(name: str, version: str, *, with_blake3: bool = True) -> bytes:
    """A signed catalog of a disk of four sectors; nothing here looks at the disk."""
    publisher = keys_of("publisher")
    certificate = publisher.guardian.signing_certificate
    hashes = (bytes(HASH_LENGTH),)
    others = hashes if with_blake3 else ()
    volumes = tuple(Volume(role, index * 512, 512, hashes, others) for index, role in enumerate(Role))
    return sign_catalog(Catalog(name, version, 4 * 512, certificate, certificate, volumes), publisher.signing_key)


@pytest.fixture
def host() -> Iterator[PlayedHost]:
    """Hosts that answer at once."""
    played = PlayedHost()

    def send(task: str, kwargs: dict[str, Any], queue: str, countdown: float = 0) -> None:
        played.send(task, kwargs, queue, countdown)
        if task.startswith("host.") and task.endswith("_protector"):
            played.work()

    with patch("fabric.dispatch._send", send):
        yield played
