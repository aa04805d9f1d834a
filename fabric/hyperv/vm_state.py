"""The protected state of a VM: its key protector and, under that protector's transport key, the key of its virtual TPM.

Both lie in one file that is replaced as a whole (docs/formats/vm-state.md). At every start HGS gives a new transport
key and protector; whenever the host stops in between, the file on disk still fits together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from fabric.hyperv.errors import HostError
from fabric.hyperv.spec import SpecError, check_vm_id
from hgs.keyprotection import algorithms
from hgs.keyprotection.algorithms import RandomBytes
from hgs.keyprotection.elements import EncryptedData, read_encrypted_data, write_encrypted_data
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.protector import Protector, parse_protector, serialise_protector
from hgs.keyprotection.protector_form import PROTECTOR_MAX
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey
from hgs.wire import xmlform
from hgs.wire.xmlform import Fields, XmlFormError

NAMESPACE: Final = "urn:open-guarded-fabric:vm-state:1"
STATE_MAX: Final = 1024 * 1024
VERSION: Final = 2
_KEY_MAX: Final = 128
_CONTEXT_1: Final = b"guarded-fabric vm-state virtual-tpm-key\0"
_CONTEXT_2: Final = b"guarded-fabric vm-state 2 virtual-tpm-key\0"


@dataclass(frozen=True, slots=True)
class VmState:
    """`vtpm_key` is encrypted under `TransportKey.derive("vm-state")` of the protector's transport key.

    In version 2 any protector of that transport key may stand beside it, for example one in which the owner granted
    access to another guardian. Version 1, which is read and no longer made, ties it to one protector document.
    """

    vm_id: str
    protector: Protector
    vtpm_key: EncryptedData
    version: int = VERSION

    def serialise(self) -> bytes:
        """The file."""
        root = xmlform.build(
            NAMESPACE,
            "VirtualMachineState",
            xmlform.build_text(NAMESPACE, "Id", self.vm_id),
            xmlform.build_bytes(NAMESPACE, "KeyProtector", serialise_protector(self.protector)),
            write_encrypted_data(NAMESPACE, self.vtpm_key, "VirtualTpmKey"),
            attributes={"Version": str(self.version)},
        )
        return xmlform.canonical(root)

    def open_vtpm_key(self, transport_key: TransportKey) -> Secret:
        """The key of the virtual TPM. Raises `HostError` if this is not the protector's transport key."""
        context = _context_1(self.vm_id, self.protector) if self.version == 1 else _context_2(self.vm_id)
        try:
            key = algorithms.decrypt_content(transport_key.derive("vm-state"), self.vtpm_key, context)
        except KeyProtectionError as error:
            raise _damaged(error.message) from None
        if key is None:
            raise _damaged("the key released for it does not open it")
        return Secret(key)


def protect(
    vm_id: str, protector: Protector, transport_key: TransportKey, vtpm_key: Secret, random_bytes: RandomBytes
) -> VmState:
    """The state of a VM whose present protector is `protector`, with its key `transport_key`."""
    derived = transport_key.derive("vm-state")
    key = algorithms.encrypt_content(derived, vtpm_key.reveal(), _context_2(vm_id), random_bytes)
    return VmState(vm_id, protector, key)


def parse_vm_state(data: bytes) -> VmState:
    """Read the file. Raises `HostError` (code `vm-state-damaged`)."""
    try:
        root = xmlform.parse_document(data, namespace=NAMESPACE, name="VirtualMachineState", limit=STATE_MAX)
        fields = Fields(root, attributes=("Version",))
        vm_id = check_vm_id(xmlform.text_of(fields.take("Id")))
        protector = parse_protector(xmlform.bytes_of(fields.take("KeyProtector"), most=PROTECTOR_MAX))
        key = read_encrypted_data(fields.take("VirtualTpmKey"), _KEY_MAX)
        fields.end()
    except (XmlFormError, SpecError, KeyProtectionError) as error:
        raise _damaged(str(error)) from None
    version = fields.attribute("Version")
    if version not in ("1", "2"):
        raise _damaged("it is of a version that is not known")
    return VmState(vm_id, protector, key, int(version))


def _context_1(vm_id: str, protector: Protector) -> bytes:
    return _CONTEXT_1 + vm_id.encode() + b"\0" + hashlib.sha256(serialise_protector(protector)).digest()


def _context_2(vm_id: str) -> bytes:
    return _CONTEXT_2 + vm_id.encode()


def _damaged(problem: str) -> HostError:
    return HostError(
        "vm-state-damaged",
        f"The protected state of the VM cannot be used: {problem}.",
        "Restore the VM's folder from a backup, or make the VM anew.",
    )
