"""What the main process orders from the secure worker. Paths are absolute; nothing here is secret."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric.hyperv.errors import HostError
from fabric.hyperv.spec import VmSpec
from fabric.hyperv.tpm import HostTpmAccess

Progress = Callable[[str, int, str], None]


@dataclass(frozen=True, slots=True)
class OtherCertificate:
    """Another HGS is to be asked: write the request again, with the health certificate (DER) that it gave."""

    der: bytes


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No HGS answers, and none has refused this host. `message` says which was asked."""

    message: str


Carried = bytes | OtherCertificate | NoAnswer
"""What becomes of a request for keys: the answer of HGS, or why there is none. A refusal is raised."""
Release = Callable[[bytes], Carried]


@dataclass(frozen=True, slots=True)
class ProvisionOrder:
    """Make the VM `spec` in `folder` (empty) from a raw template disk, its catalog and a shielding data file.

    `local_guardian` is the file of the host's own guardian, in local mode alone; then there is no health certificate.
    """

    folder: Path
    spec: VmSpec
    health_certificate: bytes
    tpm: HostTpmAccess
    template: Path
    catalog: Path
    pdk: Path
    local_guardian: Path | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "operation": "provision",
            "folder": str(self.folder),
            "spec": self.spec.to_json(),
            "health_certificate": base64.b64encode(self.health_certificate).decode(),
            "tpm": self.tpm.to_json(),
            "template": str(self.template),
            "catalog": str(self.catalog),
            "pdk": str(self.pdk),
            "local_guardian": str(self.local_guardian or ""),
        }


@dataclass(frozen=True, slots=True)
class StartOrder:
    """Roll the key of the VM in `folder` and start its virtual TPM (`launch`; a dry host leaves it off).

    `health_certificate` is empty where no HGS answers and the host has none: then a kept key may do. `local_guardian`
    as in `ProvisionOrder`.
    """

    folder: Path
    vm_id: str
    health_certificate: bytes
    tpm: HostTpmAccess
    launch: bool
    local_guardian: Path | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "operation": "start",
            "folder": str(self.folder),
            "vm_id": self.vm_id,
            "health_certificate": base64.b64encode(self.health_certificate).decode(),
            "tpm": self.tpm.to_json(),
            "launch": self.launch,
            "local_guardian": str(self.local_guardian or ""),
        }


def parse_order(message: dict[str, Any]) -> ProvisionOrder | StartOrder:
    """Read an order. Raises `HostError`, `SpecError`, or `KeyError`/`ValueError` for one of another form."""
    folder, tpm = Path(message["folder"]), HostTpmAccess.from_json(message["tpm"])
    certificate = base64.b64decode(message["health_certificate"], validate=True)
    guardian = Path(message["local_guardian"]) if message["local_guardian"] else None
    if message["operation"] == "start":
        return StartOrder(folder, str(message["vm_id"]), certificate, tpm, message["launch"] is True, guardian)
    if message["operation"] == "provision":
        template, catalog, pdk = (Path(message[name]) for name in ("template", "catalog", "pdk"))
        spec = VmSpec.from_json(message["spec"])
        return ProvisionOrder(folder, spec, certificate, tpm, template, catalog, pdk, guardian)
    raise HostError("order-unknown", "The secure worker does not know this operation.")
