"""The shielding data file's grammar: XML in, structure out, and back, without crypto (docs/formats/pdk.md).

<ShieldingData Version="2">            namespace urn:open-guarded-fabric:shielding-data:2
  <Body>
    <Public>
      <Type/> <Policy/> <KeyProtector/> <VolumeIdQualifiers>…</VolumeIdQualifiers>
      <SubstitutionStrings>…</SubstitutionStrings> <RecoveryKey/>
    </Public>
    <EncryptedContent Algorithm=…><CipherValue/></EncryptedContent>
  </Body>
  <OwnerSignature Algorithm=…><SignatureValue/></OwnerSignature>
</ShieldingData>

Version 1, in its own namespace, ends its Public after VolumeIdQualifiers. Both are read; each has one form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from fabric.shielding.answerfile import PLACEHOLDERS
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

NAMESPACES: Final = {1: "urn:open-guarded-fabric:shielding-data:1", 2: "urn:open-guarded-fabric:shielding-data:2"}
NEWEST: Final = max(NAMESPACES)
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
    """What the shielding data is for: new VMs made from a template disk, or VMs that exist already."""

    FOR_SHIELDED_TEMPLATES = "ForShieldedTemplates"
    FOR_EXISTING_VMS = "ForExistingVirtualMachines"


class RecoveryKey(StrEnum):
    """Whether the host leaves the owner a recovery key for the disk (docs/formats/recovery-key.md)."""

    ESCROW = "Escrow"
    NONE = "None"


@dataclass(frozen=True, slots=True)
class Declarations:
    """What a file of Version 2 says beyond Version 1.

    `substitution_strings` are the answer file's placeholders, sorted, each once: the fabric cannot see the answer
    file, and so knows which values will be asked for.
    """

    substitution_strings: tuple[str, ...]
    recovery_key: RecoveryKey


@dataclass(frozen=True, slots=True)
class PublicPart:
    """What the fabric may read. `key_protector` is the protector document; `declared` is None in Version 1."""

    type: PdkType
    policy: Policy
    key_protector: bytes
    qualifiers: tuple[VolumeIdQualifier, ...]
    declared: Declarations | None = None

    @property
    def version(self) -> int:
        """The format's version: 1 or 2."""
        return 1 if self.declared is None else 2

    @property
    def namespace(self) -> str:
        """The XML namespace of the document."""
        return NAMESPACES[self.version]


@dataclass(frozen=True, slots=True)
class PdkDocument:
    """A shielding data file as parsed: nothing in it is verified."""

    public: PublicPart
    content: EncryptedData
    owner_signature: Signature


def parse_document(data: bytes) -> PdkDocument:
    """A file of any known version. Raises ShieldingDataError."""
    with refusing(ShieldingDataError, ADVICE):
        version = _version_of(data)
        root = xmlform.parse_document(data, namespace=NAMESPACES[version], name="ShieldingData", limit=PDK_MAX)
        fields = Fields(root, attributes=("Version",))
        if fields.attribute("Version") != str(version):
            raise XmlFormError("version", "The shielding data is of a version that is not known.")
        body = Fields(fields.take("Body"))
        public = _read_public(body.take("Public"), version)
        content = read_encrypted_data(body.take("EncryptedContent"), CONTENT_MAX)
        body.end()
        signature = read_signature(fields.take("OwnerSignature"))
        fields.end()
        document = PdkDocument(public, content, signature)
        if serialise_document(document) != data:
            raise XmlFormError("not-canonical", "The shielding data has more than one way to be written.")
        return document


def _version_of(data: bytes) -> int:
    """By the namespace, which canonical form puts at one place; what is no shielding data is read as the newest."""
    old = f'<ShieldingData xmlns="{NAMESPACES[1]}"'.encode()
    return 1 if data.startswith(old) else NEWEST


def _read_public(element: Element, version: int) -> PublicPart:
    fields = Fields(element)
    kind = _choice(PdkType, fields.take("Type"))
    policy = _choice(Policy, fields.take("Policy"))
    protector = xmlform.bytes_of(fields.take("KeyProtector"), most=PROTECTOR_MAX)
    qualifiers = Fields(fields.take("VolumeIdQualifiers"))
    found = tuple(_read_qualifier(child) for child in qualifiers.take_all("VolumeIdQualifier", QUALIFIERS_MAX))
    qualifiers.end()
    declared = _read_declarations(fields) if version > 1 else None
    fields.end()
    return PublicPart(kind, policy, protector, found, declared)


def _read_declarations(fields: Fields) -> Declarations:
    listed = Fields(fields.take("SubstitutionStrings"))
    names = [xmlform.text_of(child) for child in listed.take_all("SubstitutionString", len(PLACEHOLDERS))]
    listed.end()
    check_substitution_strings(names)
    return Declarations(tuple(names), _choice(RecoveryKey, fields.take("RecoveryKey")))


def check_substitution_strings(names: Sequence[str]) -> None:
    """Raise XmlFormError unless these are known substitution strings, sorted, each once."""
    for name in names:
        if name not in PLACEHOLDERS:
            raise XmlFormError(
                "unknown-value", f"The shielding data has the unknown substitution string {name[:40]!r}."
            )
    if list(names) != sorted(set(names)):
        raise XmlFormError("order", "The substitution strings are not sorted, each named once.")


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
    public, ns = document.public, document.public.namespace
    root = xmlform.build(
        ns,
        "ShieldingData",
        _write_body(public, document.content),
        write_signature(ns, document.owner_signature, "OwnerSignature"),
        attributes={"Version": str(public.version)},
    )
    return xmlform.canonical(root)


def body_octets(public: PublicPart, content: EncryptedData) -> bytes:
    """What the owner signs: the Body element after exclusive C14N."""
    return xmlform.canonical(_write_body(public, content))


def public_octets(public: PublicPart) -> bytes:
    """What the encryption is bound to: the Public element after exclusive C14N."""
    return xmlform.canonical(_write_public(public))


def _write_body(public: PublicPart, content: EncryptedData) -> Written:
    ns = public.namespace
    return xmlform.build(ns, "Body", _write_public(public), write_encrypted_data(ns, content, "EncryptedContent"))


def _write_public(public: PublicPart) -> Written:
    ns = public.namespace
    qualifiers = (_write_qualifier(ns, qualifier) for qualifier in public.qualifiers)
    return xmlform.build(
        ns,
        "Public",
        xmlform.build_text(ns, "Type", public.type),
        xmlform.build_text(ns, "Policy", public.policy),
        xmlform.build_bytes(ns, "KeyProtector", public.key_protector),
        xmlform.build(ns, "VolumeIdQualifiers", *qualifiers),
        *(_write_declarations(ns, public.declared) if public.declared else ()),
    )


def _write_declarations(ns: str, declared: Declarations) -> tuple[Written, ...]:
    names = (xmlform.build_text(ns, "SubstitutionString", name) for name in declared.substitution_strings)
    return (
        xmlform.build(ns, "SubstitutionStrings", *names),
        xmlform.build_text(ns, "RecoveryKey", declared.recovery_key),
    )


def _write_qualifier(ns: str, qualifier: VolumeIdQualifier) -> Written:
    return xmlform.build(
        ns,
        "VolumeIdQualifier",
        xmlform.build_text(ns, "DiskName", qualifier.disk_name),
        xmlform.build_bytes(ns, "SignerFingerprint", qualifier.signer_fingerprint),
        xmlform.build_text(ns, "Version", qualifier.version),
        xmlform.build_text(ns, "Rule", qualifier.rule),
    )
