"""The shielding data file's grammar: XML in, structure out, and back, without crypto (docs/formats/pdk.md).

<ShieldingData Version="1">            namespace urn:open-guarded-fabric:shielding-data:1
  <Body>
    <Public>
      <Type/> <Policy/> <KeyProtector/> <VolumeIdQualifiers>…</VolumeIdQualifiers>
    </Public>
    <EncryptedContent Algorithm=…><CipherValue/></EncryptedContent>
  </Body>
  <OwnerSignature Algorithm=…><SignatureValue/></OwnerSignature>
</ShieldingData>
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from fabric.shielding.errors import QualifierError, ShieldingDataError, refusing
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection.elements import (
    EncryptedData,
    Signature,
    read_encrypted_data,
    read_signature,
    write_encrypted_data,
    write_signature,
)
from hgs.keyprotection.protector_form import PROTECTOR_MAX
from hgs.wire import xmlform
from hgs.wire.xmlform import Element, Fields, Written, XmlFormError

NAMESPACE: Final = "urn:open-guarded-fabric:shielding-data:1"
PDK_MAX: Final = 2 * 1024 * 1024
CONTENT_MAX: Final = 768 * 1024
QUALIFIERS_MAX: Final = 64
_E = TypeVar("_E", bound=StrEnum)
ADVICE: Final = "Use the file that `gf pdk new` wrote, unchanged."


class Policy(StrEnum):
    """How far the VM is protected from the fabric."""

    SHIELDED = "Shielded"
    ENCRYPTION_SUPPORTED = "EncryptionSupported"


class PdkType(StrEnum):
    """What the shielding data is for. The type for existing VMs will be appended."""

    FOR_SHIELDED_TEMPLATES = "ForShieldedTemplates"


@dataclass(frozen=True, slots=True)
class PublicPart:
    """What the fabric may read. `key_protector` is the protector document."""

    type: PdkType
    policy: Policy
    key_protector: bytes
    qualifiers: tuple[VolumeIdQualifier, ...]


@dataclass(frozen=True, slots=True)
class PdkDocument:
    """A shielding data file as parsed: nothing in it is verified."""

    public: PublicPart
    content: EncryptedData
    owner_signature: Signature


def parse_document(data: bytes) -> PdkDocument:
    """Raises ShieldingDataError."""
    with refusing(ShieldingDataError, ADVICE):
        root = xmlform.parse_document(data, namespace=NAMESPACE, name="ShieldingData", limit=PDK_MAX)
        fields = Fields(root, attributes=("Version",))
        if fields.attribute("Version") != "1":
            raise XmlFormError("version", "The shielding data is of a version that is not known.")
        body = Fields(fields.take("Body"))
        public = _read_public(body.take("Public"))
        content = read_encrypted_data(body.take("EncryptedContent"), CONTENT_MAX)
        body.end()
        signature = read_signature(fields.take("OwnerSignature"))
        fields.end()
        document = PdkDocument(public, content, signature)
        if serialise_document(document) != data:
            raise XmlFormError("not-canonical", "The shielding data has more than one way to be written.")
        return document


def _read_public(element: Element) -> PublicPart:
    fields = Fields(element)
    kind = _choice(PdkType, fields.take("Type"))
    policy = _choice(Policy, fields.take("Policy"))
    protector = xmlform.bytes_of(fields.take("KeyProtector"), most=PROTECTOR_MAX)
    qualifiers = Fields(fields.take("VolumeIdQualifiers"))
    found = tuple(_read_qualifier(child) for child in qualifiers.take_all("VolumeIdQualifier", QUALIFIERS_MAX))
    qualifiers.end()
    fields.end()
    return PublicPart(kind, policy, protector, found)


def _choice(kind: type[_E], element: Element) -> _E:
    text = xmlform.text_of(element)
    try:
        return kind(text)
    except ValueError:
        raise XmlFormError("unknown-value", f"The shielding data has the unknown value {text[:40]!r}.") from None


def _read_qualifier(element: Element) -> VolumeIdQualifier:
    fields = Fields(element)
    name = xmlform.text_of(fields.take("DiskName"))
    signer = xmlform.bytes_of(fields.take("SignerFingerprint"), most=32, least=32)
    version = xmlform.text_of(fields.take("Version"))
    rule = _choice(VersionRule, fields.take("Rule"))
    fields.end()
    try:
        return VolumeIdQualifier(name, signer, version, rule)
    except QualifierError as error:
        raise XmlFormError(error.code, error.message) from None


def serialise_document(document: PdkDocument) -> bytes:
    """The one byte string for a shielding data file."""
    root = xmlform.build(
        NAMESPACE,
        "ShieldingData",
        _write_body(document.public, document.content),
        write_signature(NAMESPACE, document.owner_signature, "OwnerSignature"),
        attributes={"Version": "1"},
    )
    return xmlform.canonical(root)


def body_octets(public: PublicPart, content: EncryptedData) -> bytes:
    """What the owner signs: the Body element after exclusive C14N."""
    return xmlform.canonical(_write_body(public, content))


def public_octets(public: PublicPart) -> bytes:
    """What the encryption is bound to: the Public element after exclusive C14N."""
    return xmlform.canonical(_write_public(public))


def _write_body(public: PublicPart, content: EncryptedData) -> Written:
    return xmlform.build(
        NAMESPACE, "Body", _write_public(public), write_encrypted_data(NAMESPACE, content, "EncryptedContent")
    )


def _write_public(public: PublicPart) -> Written:
    qualifiers = (_write_qualifier(qualifier) for qualifier in public.qualifiers)
    return xmlform.build(
        NAMESPACE,
        "Public",
        xmlform.build_text(NAMESPACE, "Type", public.type),
        xmlform.build_text(NAMESPACE, "Policy", public.policy),
        xmlform.build_bytes(NAMESPACE, "KeyProtector", public.key_protector),
        xmlform.build(NAMESPACE, "VolumeIdQualifiers", *qualifiers),
    )


def _write_qualifier(qualifier: VolumeIdQualifier) -> Written:
    return xmlform.build(
        NAMESPACE,
        "VolumeIdQualifier",
        xmlform.build_text(NAMESPACE, "DiskName", qualifier.disk_name),
        xmlform.build_bytes(NAMESPACE, "SignerFingerprint", qualifier.signer_fingerprint),
        xmlform.build_text(NAMESPACE, "Version", qualifier.version),
        xmlform.build_text(NAMESPACE, "Rule", qualifier.rule),
    )
