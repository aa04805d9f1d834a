"""Recovery key escrow: what opens a VM's disk when its virtual TPM is lost, sealed so that the owner can read it.

The host that makes the disk gives it a second passphrase of 32 random bytes and writes this document beside it, if the
owner's shielding data asks for that. The passphrase is under a key derived from the transport key of the shielding
data's own key protector, so who opens it needs that shielding data and the owner guardian, and no fabric
(docs/formats/recovery-key.md).

<RecoveryKeyEscrow Version="1">        namespace urn:open-guarded-fabric:recovery-key:1
  <Header> <VmId/> <ProtectorId/> <OwnerFingerprint/> </Header>
  <EncryptedKey Algorithm=…><CipherValue/></EncryptedKey>
</RecoveryKeyEscrow>
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from fabric.shielding.errors import RecoveryKeyError, refusing
from fabric.shielding.pdk import Pdk
from hgs.keyprotection import algorithms
from hgs.keyprotection.algorithms import GCM_NONCE_SIZE, GCM_TAG_SIZE, RandomBytes
from hgs.keyprotection.elements import EncryptedData, read_encrypted_data, write_encrypted_data
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey
from hgs.wire import xmlform
from hgs.wire.xmlform import Element, Fields, Written, XmlFormError

NAMESPACE: Final = "urn:open-guarded-fabric:recovery-key:1"
RECOVERY_KEY_SIZE: Final = 32
ESCROW_MAX: Final = 4 * 1024
_CIPHER_SIZE: Final = GCM_NONCE_SIZE + RECOVERY_KEY_SIZE + GCM_TAG_SIZE
_HASH_SIZE: Final = 32
_ADVICE: Final = "Use the .recovery file as it was fetched, unchanged."


@dataclass(frozen=True, slots=True)
class RecoveryKeyEscrow:
    """A parsed escrow. Nothing in it is authenticated before `open_escrow` has opened it.

    `protector_id` names the key protector of the shielding data that the VM was made from (`VerifiedProtector.id`),
    `owner_fingerprint` its owner's signing certificate: SHA-256 each, 64 hexadecimal digits.
    """

    vm_id: UUID
    protector_id: str
    owner_fingerprint: str
    encrypted_key: EncryptedData = field(repr=False)

    def is_of(self, pdk: Pdk) -> bool:
        """Whether this is the shielding data that it names."""
        return hmac.compare_digest(self.protector_id, pdk.protector.id)

    def serialise(self) -> bytes:
        """The one byte string for an escrow."""
        encrypted = write_encrypted_data(NAMESPACE, self.encrypted_key, "EncryptedKey")
        header = _write_header(self.vm_id, self.protector_id, self.owner_fingerprint)
        root = xmlform.build(NAMESPACE, "RecoveryKeyEscrow", header, encrypted, attributes={"Version": "1"})
        return xmlform.canonical(root)


def escrow(
    vm_id: UUID, pdk: Pdk, transport_key: TransportKey, recovery_key: Secret, random_bytes: RandomBytes
) -> bytes:
    """The escrow document for a VM's recovery key (32 bytes).

    `transport_key` is that of the shielding data's own protector: what opened `pdk`. Raises RecoveryKeyError where the
    owner did not ask for it (`not-asked-for`), ValueError for a key of another length.
    """
    if not pdk.escrows_recovery_key:
        raise RecoveryKeyError("not-asked-for", "The owner's shielding data asks for no recovery key.")
    if len(recovery_key) != RECOVERY_KEY_SIZE:
        raise ValueError(f"a recovery key has {RECOVERY_KEY_SIZE} bytes")
    header = xmlform.canonical(_write_header(vm_id, pdk.protector.id, pdk.owner_fingerprint))
    key = transport_key.derive("recovery-key")
    encrypted = algorithms.encrypt_content(key, recovery_key.reveal(), header, random_bytes)
    return RecoveryKeyEscrow(vm_id, pdk.protector.id, pdk.owner_fingerprint, encrypted).serialise()


def parse_escrow(data: bytes) -> RecoveryKeyEscrow:
    """Raises RecoveryKeyError."""
    with refusing(RecoveryKeyError, _ADVICE):
        root = xmlform.parse_document(data, namespace=NAMESPACE, name="RecoveryKeyEscrow", limit=ESCROW_MAX)
        fields = Fields(root, attributes=("Version",))
        if fields.attribute("Version") != "1":
            raise XmlFormError("version", "The recovery key escrow is of a version that is not known.")
        vm_id, protector_id, owner = _read_header(fields.take("Header"))
        encrypted = read_encrypted_data(fields.take("EncryptedKey"), _CIPHER_SIZE)
        fields.end()
        algorithms.check_content_encryption(encrypted.algorithm)
        if encrypted.parameters or len(encrypted.value) != _CIPHER_SIZE:
            raise XmlFormError("value-length", f"The recovery key escrow does not hold {_CIPHER_SIZE} encrypted bytes.")
        found = RecoveryKeyEscrow(vm_id, protector_id, owner, encrypted)
        if found.serialise() != data:
            raise XmlFormError("not-canonical", "The recovery key escrow has more than one way to be written.")
        return found


def open_escrow(found: RecoveryKeyEscrow, pdk: Pdk, transport_key: TransportKey) -> Secret:
    """The recovery key: the second passphrase of the VM's disk, 32 bytes.

    `pdk` is the shielding data that the VM was made from, `transport_key` its key as its owner opens it
    (`hgs.keyprotection.ownership.open_as_owner`). Raises RecoveryKeyError (`other-shielding-data`, `not-opened`).
    """
    if not found.is_of(pdk):
        raise RecoveryKeyError(
            "other-shielding-data",
            "The virtual machine was made from other shielding data.",
            f"Use the file whose key protector has the id {found.protector_id}.",
        )
    header = xmlform.canonical(_write_header(found.vm_id, found.protector_id, found.owner_fingerprint))
    plaintext = algorithms.decrypt_content(transport_key.derive("recovery-key"), found.encrypted_key, header)
    if plaintext is None:
        raise RecoveryKeyError(
            "not-opened", "The recovery key escrow was changed, or this is not the key it was made for.", _ADVICE
        )
    return Secret(plaintext)


def _read_header(element: Element) -> tuple[UUID, str, str]:
    header = Fields(element)
    text = xmlform.text_of(header.take("VmId"))
    protector = xmlform.bytes_of(header.take("ProtectorId"), least=_HASH_SIZE, most=_HASH_SIZE)
    owner = xmlform.bytes_of(header.take("OwnerFingerprint"), least=_HASH_SIZE, most=_HASH_SIZE)
    header.end()
    try:
        vm_id = UUID(text)
    except ValueError:
        raise XmlFormError("vm-id", "The recovery key escrow names no virtual machine.") from None
    if str(vm_id) != text:
        raise XmlFormError("vm-id", "The virtual machine's id is not in its one form.")
    return vm_id, protector.hex(), owner.hex()


def _write_header(vm_id: UUID, protector_id: str, owner_fingerprint: str) -> Written:
    return xmlform.build(
        NAMESPACE,
        "Header",
        xmlform.build_text(NAMESPACE, "VmId", str(vm_id)),
        xmlform.build_bytes(NAMESPACE, "ProtectorId", bytes.fromhex(protector_id)),
        xmlform.build_bytes(NAMESPACE, "OwnerFingerprint", bytes.fromhex(owner_fingerprint)),
    )
