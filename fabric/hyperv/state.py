"""A host's own folder: what it keeps between runs, where, and how it writes so that a crash leaves no half file.

<HOST_STATE_DIR>/<name>/
    profile.toml  boot.json  measured_boot.tcglog  ci-policy.p7b  identity.xml
    attestation-key.bin  identity-key.bin  health-certificate.der  attestation.json  refusal.json
    fallback-health-certificate.der  fallback-attestation.json  fallback-refusal.json
    host-key.pem  host-key.cer  host.keytab  local-guardian.pem
    tpm/          the software TPM            jobs/    jobs in progress
    copies/       copies of library content   vms/     virtual machines
    *.lock
"""

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric.hyperv.errors import StateError
from fabric.hyperv.swtpm import SoftwareTpm

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MAX_JSON_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class HostState:
    """The folder of one host. Paths are absolute; nothing exists before `create`."""

    directory: Path

    @classmethod
    def of(cls, root: Path, name: str) -> "HostState":
        """The folder of host `name` (a lower-case DNS label) below `root`. Raises `StateError` for any other name."""
        if not _HOST_NAME.fullmatch(name):
            raise StateError(
                f"{name!r} is not a host name.", "Use lower-case letters, digits and hyphens, at most 63 of them."
            )
        return cls(root.resolve() / name)

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def profile(self) -> Path:
        return self.directory / "profile.toml"

    @property
    def boot(self) -> Path:
        return self.directory / "boot.json"

    @property
    def boot_log(self) -> Path:
        return self.directory / "measured_boot.tcglog"

    @property
    def ci_policy(self) -> Path:
        return self.directory / "ci-policy.p7b"

    @property
    def platform_identifier(self) -> Path:
        return self.directory / "identity.xml"

    @property
    def attestation_key(self) -> Path:
        return self.directory / "attestation-key.bin"

    @property
    def identity_key(self) -> Path:
        return self.directory / "identity-key.bin"

    @property
    def health_certificate(self) -> Path:
        return self.directory / "health-certificate.der"

    @property
    def fallback_health_certificate(self) -> Path:
        return self.directory / "fallback-health-certificate.der"

    @property
    def fallback_attestation(self) -> Path:
        return self.directory / "fallback-attestation.json"

    @property
    def of_one_boot(self) -> tuple[Path, ...]:
        """What attestation earned; the next boot makes a new identity key and ends it."""
        return (
            self.health_certificate,
            self.attestation,
            self.fallback_health_certificate,
            self.fallback_attestation,
        )

    @property
    def refusal(self) -> Path:
        """There from a refusal by HGS until it attests the host, over boots too: no cached key opens meanwhile."""
        return self.directory / "refusal.json"

    @property
    def fallback_refusal(self) -> Path:
        """The same of the fallback: what one of them said, only that one takes back."""
        return self.directory / "fallback-refusal.json"

    @property
    def local_guardian(self) -> Path:
        return self.directory / "local-guardian.pem"

    @property
    def host_key(self) -> Path:
        return self.directory / "host-key.pem"

    @property
    def host_key_certificate(self) -> Path:
        return self.directory / "host-key.cer"

    @property
    def host_key_lock(self) -> Path:
        return self.directory / "host-key.lock"

    @property
    def keytab(self) -> Path:
        return self.directory / "host.keytab"

    @property
    def attestation(self) -> Path:
        return self.directory / "attestation.json"

    @property
    def attestation_lock(self) -> Path:
        return self.directory / "attestation.lock"

    @property
    def tpm(self) -> SoftwareTpm:
        return SoftwareTpm(self.directory / "tpm")

    @property
    def tpm_lock(self) -> Path:
        return self.directory / "tpm.lock"

    @property
    def agent_lock(self) -> Path:
        return self.directory / "agent.lock"

    @property
    def jobs(self) -> Path:
        return self.directory / "jobs"

    @property
    def copies(self) -> Path:
        return self.directory / "copies"

    @property
    def virtual_machines(self) -> Path:
        return self.directory / "vms"

    def create(self) -> None:
        """Make the folders, readable by this user alone."""
        for folder in (self.directory, self.jobs, self.copies, self.virtual_machines):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def require(self, path: Path, what: str) -> bytes:
        """The content of a file that a boot leaves behind; raises `StateError` if the host never booted."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise StateError(
                f"Host {self.name} has no {what} yet.", f"Start it once: manage.py host {self.name}."
            ) from None


def write_whole(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, whole or not at all, readable by this user alone."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace `path` by a JSON object."""
    write_whole(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`, or None where there is none or it is damaged: it is only ever a note to ourselves."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MAX_JSON_BYTES))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
