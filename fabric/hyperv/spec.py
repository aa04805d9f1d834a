"""What the control plane asks a host to run: public data only, checked strictly, since it comes over the broker."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

VCPUS_MAX: Final = 64
MEMORY_MIN_MIB, MEMORY_MAX_MIB = 256, 65536
SPECIALIZATION_MAX: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_KEY: Final = re.compile(r"@[A-Za-z0-9-]{1,60}@")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class SpecError(ValueError):
    """A specification that this host does not accept; the text is a sentence. `code` is stable."""

    code = "vm-spec-invalid"


@dataclass(frozen=True, slots=True)
class GuestNetwork:
    """The network of a VM: `cidr` as 10.0.3.0/24, the guest's address, its gateway and name server within it."""

    cidr: str
    address: str
    gateway: str
    dns: str

    def __post_init__(self) -> None:
        try:
            network = ipaddress.IPv4Network(self.cidr)
            address, gateway = ipaddress.IPv4Address(self.address), ipaddress.IPv4Address(self.gateway)
            ipaddress.IPv4Address(self.dns)
        except ValueError as error:
            raise SpecError(f"The network of the VM is not valid: {error}.") from None
        if not 16 <= network.prefixlen <= 30 or address == gateway:
            raise SpecError("A VM's network has a prefix of 16 to 30, and the guest is not its own gateway.")
        ends = (network.network_address, network.broadcast_address)
        if any(item not in network or item in ends for item in (address, gateway)):
            raise SpecError("The guest's address and gateway must be usable addresses of its network.")


@dataclass(frozen=True, slots=True)
class VmSpec:
    """One VM. `specialization` maps placeholders (`@ComputerName@`) to values of the fabric's choosing.

    `access_port` is the port of the host's access address that leads to the guest's port 22. The three hashes name
    files of the library (SHA-256, hexadecimal).
    """

    id: str
    name: str
    vcpus: int
    memory_mib: int
    specialization: Mapping[str, str]
    network: GuestNetwork
    access_port: int
    template_sha256: str
    catalog_sha256: str
    pdk_sha256: str

    def __post_init__(self) -> None:
        check_vm_id(self.id)
        _check(_NAME.fullmatch(self.name) is not None, "A VM's name has 1 to 63 letters, digits and inner hyphens.")
        _check(1 <= self.vcpus <= VCPUS_MAX, f"A VM has 1 to {VCPUS_MAX} virtual processors.")
        memory = f"A VM has {MEMORY_MIN_MIB} to {MEMORY_MAX_MIB} MiB of memory."
        _check(MEMORY_MIN_MIB <= self.memory_mib <= MEMORY_MAX_MIB, memory)
        _check(1024 <= self.access_port <= 65535, "The access port lies between 1024 and 65535.")
        _check(len(self.specialization) <= SPECIALIZATION_MAX, "There are too many specialization values.")
        for key, value in self.specialization.items():
            _check(_KEY.fullmatch(key) is not None and 0 < len(value) <= 256, f"Specialization {key!r} is not valid.")
        for digest in (self.template_sha256, self.catalog_sha256, self.pdk_sha256):
            _check(_SHA256.fullmatch(digest) is not None, "A content hash is 64 hexadecimal digits.")

    def to_json(self) -> dict[str, object]:
        """A JSON object; `from_json` reads it."""
        return {
            "id": self.id,
            "name": self.name,
            "vcpus": self.vcpus,
            "memory_mib": self.memory_mib,
            "specialization": dict(self.specialization),
            "network": {
                "cidr": self.network.cidr,
                "address": self.network.address,
                "gateway": self.network.gateway,
                "dns": self.network.dns,
            },
            "access_port": self.access_port,
            "template_sha256": self.template_sha256,
            "catalog_sha256": self.catalog_sha256,
            "pdk_sha256": self.pdk_sha256,
        }

    @classmethod
    def from_json(cls, value: object) -> VmSpec:
        """The reverse of `to_json`. Raises `SpecError` for a missing, unknown or mistyped member."""
        names = set(cls.__dataclass_fields__)
        fields = _members(value, names, "VM specification")
        network = _members(fields["network"], set(GuestNetwork.__dataclass_fields__), "network")
        specialization = _mapping(fields["specialization"], "specialization")
        numbers = {name: _integer(fields[name], name) for name in ("vcpus", "memory_mib", "access_port")}
        texts = {name: _text(fields[name], name) for name in names - set(numbers) - {"network", "specialization"}}
        return cls(
            specialization={key: _text(item, key) for key, item in specialization.items()},
            network=GuestNetwork(**{name: _text(item, name) for name, item in network.items()}),
            **numbers,  # type: ignore[arg-type]
            **texts,  # type: ignore[arg-type]
        )


def check_vm_id(vm_id: str) -> str:
    """The id, if it is a UUID in its usual form; it becomes a folder name. Raises `SpecError`."""
    try:
        if str(uuid.UUID(vm_id)) == vm_id:
            return vm_id
    except ValueError:
        pass
    raise SpecError("A VM's id is a UUID in lower case with hyphens.")


def _check(condition: bool, sentence: str) -> None:
    if not condition:
        raise SpecError(sentence)


def _mapping(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SpecError(f"The {name} is not a JSON object.")
    return value


def _members(value: object, names: set[str], what: str) -> dict[str, object]:
    members = _mapping(value, what)
    if set(members) != names:
        raise SpecError(f"The {what} does not have exactly the members {', '.join(sorted(names))}.")
    return members


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise SpecError(f"{name} is not a text.")
    return value


def _integer(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise SpecError(f"{name} is not a whole number.")
    return value
