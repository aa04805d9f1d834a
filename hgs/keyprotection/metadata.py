"""Guardian metadata: a guardian's public half in one signed document ([MS-KPS] 2.2.2, 6.4).

    <Metadata Version="1">
      <GuardianInformation>
        <Version>1</Version> <EncryptionCertificate/> <SigningCertificate/>
        <EncryptionCertificateSignature Algorithm=…/> <SigningCertificateSelfSignature Algorithm=…/>
        <OtherSigningCertificates><Certificate/>…</OtherSigningCertificates>?
      </GuardianInformation>
      <ds:Signature/>   (W3C XMLDSig, by the communications certificate)
    </Metadata>

The specification leaves the XMLDSig profile open. Ours is one reference to the whole document (URI="") with the
transforms enveloped-signature and exclusive C14N, SHA-256, RSA-SHA256 (PKCS #1 v1.5), and one X509Certificate in
KeyInfo. Nothing else is accepted: the reader takes three values from the signature (digest, signature, certificate),
writes the only document that could hold them, and compares bytes. No reference is resolved, so signature wrapping has
nothing to work on.

Verified metadata says "whoever holds this communications certificate published these certificates". Whether that is
the guardian you mean is for a person to decide, once, by comparing the fingerprint.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hgs.keyprotection import certificates
from hgs.keyprotection.elements import KPS_NAMESPACE, Signature, read_signature, write_signature
from hgs.keyprotection.errors import GuardianError, refusing
from hgs.keyprotection.guardian import OTHER_SIGNING_MAX, Guardian, guardian_from
from hgs.wire import xmlform
from hgs.wire.xmlform import Element, Fields, Written, XmlFormError

METADATA_MAX: Final = 256 * 1024
_VERSION: Final = "1"
_DS: Final = "http://www.w3.org/2000/09/xmldsig#"
_EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_RSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_SHA256: Final = "http://www.w3.org/2001/04/xmlenc#sha256"
_ADVICE: Final = "Fetch the guardian metadata again from the Host Guardian Service and keep it unchanged."


@dataclass(frozen=True, slots=True)
class CommunicationsKey:
    """The key pair that signs metadata. `certificate` is DER."""

    certificate: bytes
    key: rsa.RSAPrivateKey = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate: what an owner compares when importing metadata."""
        return certificates.fingerprint(self.certificate)


@dataclass(frozen=True, slots=True)
class VerifiedMetadata:
    """Metadata whose signatures hold. `fingerprint` is that of the communications certificate: compare it."""

    guardian: Guardian
    communications_certificate: bytes
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """Metadata as parsed: nothing in it is verified."""

    signing_certificate: bytes
    encryption_certificate: bytes
    signing_certificate_signature: Signature
    encryption_certificate_signature: Signature
    other_signing_certificates: tuple[bytes, ...]
    digest: bytes
    signature: bytes
    communications_certificate: bytes

    def verify(self, name: str) -> VerifiedMetadata:
        """Check the document signature and the guardian's certificates; `name` is what to call the guardian here.

        Raises GuardianError.
        """
        key = certificates.rsa_key_of(self.communications_certificate, "signing")
        body = xmlform.canonical(_write_body(self))
        if hashlib.sha256(body).digest() != self.digest:
            raise GuardianError("metadata-digest", "The guardian metadata was changed after it was signed.", _ADVICE)
        try:
            key.verify(self.signature, _signed_octets(self.digest), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise GuardianError("metadata-signature", "The guardian metadata's signature is wrong.", _ADVICE) from None
        with refusing(GuardianError, _ADVICE):
            guardian = guardian_from(
                name,
                self.signing_certificate,
                self.encryption_certificate,
                self.signing_certificate_signature,
                self.encryption_certificate_signature,
                self.other_signing_certificates,
            )
        fingerprint = certificates.fingerprint(self.communications_certificate)
        return VerifiedMetadata(guardian, self.communications_certificate, fingerprint)


def create_communications_key(
    name: str, now: dt.datetime, *, key_size: int = certificates.RSA_KEY_NEW
) -> CommunicationsKey:
    """A new communications key with a self-signed certificate."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=key_size)
    return CommunicationsKey(certificates.issue_self_signed(f"{name} communications", key, "signing", now), key)


def serialise_metadata(guardian: Guardian, communications: CommunicationsKey) -> bytes:
    """The signed metadata document of a guardian. The guardian's name is not part of it."""
    unsigned = Metadata(
        guardian.signing_certificate,
        guardian.encryption_certificate,
        guardian.signing_certificate_signature,
        guardian.encryption_certificate_signature,
        guardian.other_signing_certificates,
        b"",
        b"",
        communications.certificate,
    )
    digest = hashlib.sha256(xmlform.canonical(_write_body(unsigned))).digest()
    signature = communications.key.sign(_signed_octets(digest), padding.PKCS1v15(), hashes.SHA256())
    return _document(unsigned, digest, signature)


def parse_metadata(data: bytes) -> Metadata:
    """Parse a metadata document. Raises GuardianError."""
    with refusing(GuardianError, _ADVICE):
        root = xmlform.parse_document(data, namespace=KPS_NAMESPACE, name="Metadata", limit=METADATA_MAX)
        metadata = _read(root)
        if serialise_parsed(metadata) != data:
            raise XmlFormError("metadata-form", "The guardian metadata is not signed in the one accepted way.")
        return metadata


def serialise_parsed(metadata: Metadata) -> bytes:
    """The one byte string for parsed metadata, with the signature it came with."""
    return _document(metadata, metadata.digest, metadata.signature)


def _read(root: Element) -> Metadata:
    fields = Fields(root, attributes=("Version",))
    _check_version(fields.attribute("Version"))
    information = Fields(fields.take("GuardianInformation"))
    _check_version(xmlform.text_of(information.take("Version")))
    encryption = xmlform.bytes_of(information.take("EncryptionCertificate"), most=certificates.CERTIFICATE_MAX)
    signing = xmlform.bytes_of(information.take("SigningCertificate"), most=certificates.CERTIFICATE_MAX)
    encryption_signature = read_signature(information.take("EncryptionCertificateSignature"))
    signing_signature = read_signature(information.take("SigningCertificateSelfSignature"))
    others = _read_others(information.take_optional("OtherSigningCertificates"))
    information.end()
    digest, signature, communications = _read_ds_signature(fields.take("Signature", _DS))
    fields.end()
    return Metadata(
        signing, encryption, signing_signature, encryption_signature, others, digest, signature, communications
    )


def _check_version(version: str | None) -> None:
    if version != _VERSION:
        raise XmlFormError("metadata-version", f"The guardian metadata has version {version}; only 1 is known.")


def _read_others(element: Element | None) -> tuple[bytes, ...]:
    if element is None:
        return ()
    fields = Fields(element)
    found = fields.take_all("Certificate", OTHER_SIGNING_MAX)
    fields.end()
    return tuple(xmlform.bytes_of(child, most=certificates.CERTIFICATE_MAX) for child in found)


def _read_ds_signature(element: Element) -> tuple[bytes, bytes, bytes]:
    """The three values; everything around them is compared with what we would write."""
    fields = Fields(element)
    digests = list(fields.take("SignedInfo").iter(xmlform.qualified(_DS, "DigestValue")))
    signature = xmlform.bytes_of(fields.take("SignatureValue"), most=1024)
    held = list(fields.take("KeyInfo").iter(xmlform.qualified(_DS, "X509Certificate")))
    fields.end()
    if len(digests) != 1 or len(held) != 1:
        raise XmlFormError("metadata-form", "The guardian metadata is not signed in the one accepted way.")
    certificate = xmlform.bytes_of(held[0], most=certificates.CERTIFICATE_MAX)
    return xmlform.bytes_of(digests[0], most=32, least=32), signature, certificate


def _document(metadata: Metadata, digest: bytes, signature: bytes) -> bytes:
    root = _write_body(metadata)
    root.append(
        _ds(
            "Signature",
            _signed_info(digest),
            xmlform.build_bytes(_DS, "SignatureValue", signature),
            _ds(
                "KeyInfo",
                _ds("X509Data", xmlform.build_bytes(_DS, "X509Certificate", metadata.communications_certificate)),
            ),
        )
    )
    return xmlform.canonical(root)


def _write_body(metadata: Metadata) -> Written:
    ns = KPS_NAMESPACE
    information = xmlform.build(
        ns,
        "GuardianInformation",
        xmlform.build_text(ns, "Version", _VERSION),
        xmlform.build_bytes(ns, "EncryptionCertificate", metadata.encryption_certificate),
        xmlform.build_bytes(ns, "SigningCertificate", metadata.signing_certificate),
        write_signature(ns, metadata.encryption_certificate_signature, "EncryptionCertificateSignature"),
        write_signature(ns, metadata.signing_certificate_signature, "SigningCertificateSelfSignature"),
    )
    if metadata.other_signing_certificates:
        others = (xmlform.build_bytes(ns, "Certificate", der) for der in metadata.other_signing_certificates)
        information.append(xmlform.build(ns, "OtherSigningCertificates", *others))
    return xmlform.build(ns, "Metadata", information, attributes={"Version": _VERSION})


def _signed_octets(digest: bytes) -> bytes:
    return xmlform.canonical(_signed_info(digest))


def _signed_info(digest: bytes) -> Written:
    transforms = _ds("Transforms", _method("Transform", _ENVELOPED), _method("Transform", _EXCLUSIVE))
    reference = xmlform.build(
        _DS,
        "Reference",
        transforms,
        _method("DigestMethod", _SHA256),
        xmlform.build_bytes(_DS, "DigestValue", digest),
        attributes={"URI": ""},
    )
    return _ds(
        "SignedInfo",
        _method("CanonicalizationMethod", _EXCLUSIVE),
        _method("SignatureMethod", _RSA_SHA256),
        reference,
    )


def _ds(name: str, *children: Written) -> Written:
    return xmlform.build(_DS, name, *children)


def _method(name: str, uri: str) -> Written:
    return xmlform.build(_DS, name, attributes={"Algorithm": uri})
