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
Release = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class ProvisionOrder:
    """Make the VM `spec` in `folder` (empty) from a raw template disk, its catalog and a shielding data file."""

    folder: Path
    spec: VmSpec
    health_certificate: bytes
    tpm: HostTpmAccess
    template: Path
    catalog: Path
    pdk: Path

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
        }


@dataclass(frozen=True, slots=True)
class StartOrder:
    """Roll the key of the VM in `folder` and start its virtual TPM (`launch`; a dry host leaves it off)."""

    folder: Path
    vm_id: str
    health_certificate: bytes
    tpm: HostTpmAccess
    launch: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "operation": "start",
            "folder": str(self.folder),
            "vm_id": self.vm_id,
            "health_certificate": base64.b64encode(self.health_certificate).decode(),
            "tpm": self.tpm.to_json(),
            "launch": self.launch,
        }


def parse_order(message: dict[str, Any]) -> ProvisionOrder | StartOrder:
    """Read an order. Raises `HostError`, `SpecError`, or `KeyError`/`ValueError` for one of another form."""
    folder, tpm = Path(message["folder"]), HostTpmAccess.from_json(message["tpm"])
    certificate = base64.b64decode(message["health_certificate"], validate=True)
    if message["operation"] == "start":
        return StartOrder(folder, str(message["vm_id"]), certificate, tpm, message["launch"] is True)
    if message["operation"] == "provision":
        paths = (Path(message[name]) for name in ("template", "catalog", "pdk"))
        return ProvisionOrder(folder, VmSpec.from_json(message["spec"]), certificate, tpm, *paths)
    raise HostError("order-unknown", "The secure worker does not know this operation.")
