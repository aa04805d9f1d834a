"""The key protector's grammar ([MS-KPS] 2.2.2.3 to 2.2.2.15, 6.1): XML in, structure out, and back, without crypto.

A parsed protector is untrusted; `hgs.keyprotection.protector` verifies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hgs.keyprotection.certificates import CERTIFICATE_MAX
from hgs.keyprotection.elements import (
    KPS_NAMESPACE,
    EncryptedData,
    KeyDerivationMethod,
    Signature,
    read_encrypted_data,
    read_key_derivation,
    read_signature,
    write_encrypted_data,
    write_key_derivation,
    write_signature,
)
from hgs.keyprotection.errors import InvalidProtectorError, InvalidWrappingError, refusing
from hgs.wire import xmlform
from hgs.wire.xmlform import Element, Fields, Written

PROTECTOR_MAX: Final = 256 * 1024
WRAPPINGS_MAX: Final = 16
CIPHER_MAX: Final = 1024
_PREFIX: Final = 4


@dataclass(frozen=True, slots=True)
class Wrapping:
    """One guardian's access to the transport key. Certificates are DER; ids are unsigned 32-bit.

    `signing_certificate_signature` is the parent's, `encryption_certificate_signature` this wrapping's own.
    """

    id: int
    signing_certificate: bytes
    parent_id: int
    signing_certificate_signature: Signature
    encryption_certificate: bytes
    encryption_certificate_signature: Signature
    transport_key: EncryptedData

    @property
    def is_owner(self) -> bool:
        """The owner's wrapping is its own parent."""
        return self.id == self.parent_id


@dataclass(frozen=True, slots=True)
class Protector:
    """A key protector as parsed: nothing in it is verified.

    `max_offline_unwraps` is outside both signatures, so nothing may be decided by it.
    """

    wrappings: tuple[Wrapping, ...]
    key_derivation: KeyDerivationMethod
    transport_key_signature: Signature
    guardian_wrapping_id: int
    guardian_signature: Signature
    max_offline_unwraps: int = 0


def parse_protector(data: bytes) -> Protector:
    """Parse a protector file. Raises InvalidProtectorError, InvalidWrappingError."""
    with refusing(InvalidProtectorError, "Use a key protector as it was exported, unchanged."):
        root = xmlform.parse_document(data, namespace=KPS_NAMESPACE, name="Protector", limit=PROTECTOR_MAX)
        fields = Fields(root, optional=("MaxOfflineUnwraps",))
        wrappings = _read_wrappings(fields.take("Wrappings"))
        transport = Fields(fields.take("TransportKeySignature"))
        derivation = read_key_derivation(transport.take("KeyDerivationMethod"))
        transport_signature = read_signature(transport.take("Signature"))
        transport.end()
        guardian = Fields(fields.take("GuardianSignature"), attributes=("WrappingId",))
        guardian_signature = read_signature(guardian.take("Signature"))
        guardian.end()
        fields.end()
        protector = Protector(
            wrappings,
            derivation,
            transport_signature,
            xmlform.unsigned(guardian.attribute("WrappingId") or "", "WrappingId"),
            guardian_signature,
            xmlform.unsigned(fields.attribute("MaxOfflineUnwraps") or "0", "MaxOfflineUnwraps"),
        )
    if serialise_protector(protector) != data:
        raise InvalidProtectorError("not-canonical", "The key protector has more than one way to be written.")
    return protector


def import_protector(data: bytes) -> Protector:
    """Parse a protector that may carry the 4-byte big-endian total length that WMI puts before octet strings."""
    if len(data) >= _PREFIX and int.from_bytes(data[:_PREFIX]) == len(data):
        return parse_protector(data[_PREFIX:])
    return parse_protector(data)


def with_length_prefix(document: bytes) -> bytes:
    """A protector document as the original's tools hand it on: behind its total length, 4 bytes, big-endian."""
    return (len(document) + _PREFIX).to_bytes(_PREFIX) + document


def _read_wrappings(element: Element) -> tuple[Wrapping, ...]:
    fields = Fields(element)
    wrappings = tuple(_read_wrapping(child) for child in fields.take_all("Wrapping", WRAPPINGS_MAX))
    fields.end()
    if not wrappings:
        raise InvalidProtectorError("no-wrappings", "The key protector has no wrappings.")
    if len({wrapping.id for wrapping in wrappings}) != len(wrappings):
        raise InvalidWrappingError("duplicate-wrapping-id", "Two wrappings of the key protector have the same id.")
    return wrappings


def _read_wrapping(element: Element) -> Wrapping:
    fields = Fields(element)
    identifier = xmlform.unsigned(xmlform.text_of(fields.take("Id")), "Id")
    signing_certificate = xmlform.bytes_of(fields.take("SigningCertificate"), most=CERTIFICATE_MAX)
    signing = Fields(fields.take("SigningCertificateSignature"), attributes=("ParentWrappingId",))
    signing_signature = read_signature(signing.take("Signature"))
    signing.end()
    encryption_certificate = xmlform.bytes_of(fields.take("EncryptionCertificate"), most=CERTIFICATE_MAX)
    encryption = Fields(fields.take("EncryptionCertificateSignature"))
    encryption_signature = read_signature(encryption.take("Signature"))
    encryption.end()
    transport = Fields(fields.take("TransportKey"))
    transport_key = read_encrypted_data(transport.take("EncryptedData"), CIPHER_MAX)
    transport.end()
    fields.end()
    return Wrapping(
        identifier,
        signing_certificate,
        xmlform.unsigned(signing.attribute("ParentWrappingId") or "", "ParentWrappingId"),
        signing_signature,
        encryption_certificate,
        encryption_signature,
        transport_key,
    )


def serialise_protector(protector: Protector) -> bytes:
    """The one byte string for a protector."""
    ns = KPS_NAMESPACE
    transport = xmlform.build(
        ns,
        "TransportKeySignature",
        write_key_derivation(ns, protector.key_derivation),
        write_signature(ns, protector.transport_key_signature),
    )
    guardian = xmlform.build(
        ns,
        "GuardianSignature",
        write_signature(ns, protector.guardian_signature),
        attributes={"WrappingId": str(protector.guardian_wrapping_id)},
    )
    offline = {"MaxOfflineUnwraps": str(protector.max_offline_unwraps)} if protector.max_offline_unwraps else {}
    wrappings = _write_wrappings(protector.wrappings)
    return xmlform.canonical(xmlform.build(ns, "Protector", wrappings, transport, guardian, attributes=offline))


def wrappings_octets(wrappings: tuple[Wrapping, ...]) -> bytes:
    """What both protector signatures are made over: the Wrappings element after exclusive C14N, as UTF-8."""
    return xmlform.canonical(_write_wrappings(wrappings))


@lru_cache(maxsize=64)
def _write_wrappings(wrappings: tuple[Wrapping, ...]) -> Written:
    """Kept for a moment: a protector's wrappings are written for its document and again for its signatures."""
    return xmlform.build(KPS_NAMESPACE, "Wrappings", *(_write_wrapping(wrapping) for wrapping in wrappings))


def _write_wrapping(wrapping: Wrapping) -> Written:
    ns = KPS_NAMESPACE
    party = _write_party(
        wrapping.id,
        wrapping.signing_certificate,
        wrapping.parent_id,
        wrapping.signing_certificate_signature,
        wrapping.encryption_certificate,
        wrapping.encryption_certificate_signature,
    )
    transport_key = xmlform.build(ns, "TransportKey", write_encrypted_data(ns, wrapping.transport_key))
    return xmlform.build(ns, "Wrapping", *party, transport_key)


@lru_cache(maxsize=256)
def _write_party(
    identifier: int,
    signing_certificate: bytes,
    parent_id: int,
    signing_certificate_signature: Signature,
    encryption_certificate: bytes,
    encryption_certificate_signature: Signature,
) -> tuple[Written, ...]:
    """All of a wrapping but the transport key. Kept, because rolling a protector leaves it as it is."""
    ns = KPS_NAMESPACE
    return (
        xmlform.build_text(ns, "Id", str(identifier)),
        xmlform.build_bytes(ns, "SigningCertificate", signing_certificate),
        xmlform.build(
            ns,
            "SigningCertificateSignature",
            write_signature(ns, signing_certificate_signature),
            attributes={"ParentWrappingId": str(parent_id)},
        ),
        xmlform.build_bytes(ns, "EncryptionCertificate", encryption_certificate),
        xmlform.build(ns, "EncryptionCertificateSignature", write_signature(ns, encryption_certificate_signature)),
    )
