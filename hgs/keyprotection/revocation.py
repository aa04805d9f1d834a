"""Revocation notices: an owner says that certain key protectors must not be opened any more.

    <RevocationNotice Version="1">         namespace urn:open-guarded-fabric:revocation-notice:1
      <Body>
        <OwnerCertificate/>                base64, DER: the owner's signing certificate
        <MadeAt/>                          UTC to the second, 2026-03-01T12:00:00Z
        <Protectors>
          <Sha256/>…                       1 to 256: base64 of the id of a protector, ascending
        </Protectors>
      </Body>
      <OwnerSignature Algorithm=…><SignatureValue/></OwnerSignature>    over Body after exclusive C14N
    </RevocationNotice>

A revoked guardian is missing from the new protector only; whoever kept an old one could still have it opened. A notice
names the old ones, by what is signed in them (`hgs.keyprotection.protector.protector_id`). Anybody can make a notice
with a certificate of his own, so it is valid for those protectors alone whose owner's signing certificate is the one in
it: ask `revokes`.

A notice cannot be taken back and does not expire, so a replayed one changes nothing.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.keyprotection import algorithms, certificates
from hgs.keyprotection.elements import Signature, read_signature, write_signature
from hgs.keyprotection.errors import GuardianError, RevocationError, refusing
from hgs.keyprotection.guardian import GuardianKeys
from hgs.wire import xmlform
from hgs.wire.xmlform import Element, Fields, Written, XmlFormError

REVOCATION_NAMESPACE: Final = "urn:open-guarded-fabric:revocation-notice:1"
NOTICE_MAX: Final = 64 * 1024
PROTECTORS_MAX: Final = 256
_HASH_SIZE: Final = 32
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_ADVICE: Final = "Use the notice as `gf key-protector revoke` wrote it, unchanged."


@dataclass(frozen=True, slots=True)
class UnverifiedNotice:
    """A notice that has the right form; nothing says yet that the owner in it signed it."""

    owner_certificate: bytes
    made_at: dt.datetime
    protector_ids: tuple[str, ...]
    signature: Signature

    def serialise(self) -> bytes:
        """The bytes that were parsed."""
        body = _write_body(self.owner_certificate, self.made_at, self.protector_ids)
        return _document(body, self.signature)

    def verify(self) -> RevocationNotice:
        """The notice, if the holder of the certificate inside signed it. Raises RevocationError."""
        body = xmlform.canonical(_write_body(self.owner_certificate, self.made_at, self.protector_ids))
        key = _key_of(self.owner_certificate)
        with refusing(RevocationError, _ADVICE):
            if not algorithms.is_signed(key, self.signature, body):
                raise RevocationError("owner-signature", "The revocation notice was not signed by its owner.", _ADVICE)
        return RevocationNotice(
            certificates.fingerprint(self.owner_certificate), self.made_at, frozenset(self.protector_ids)
        )


@dataclass(frozen=True, slots=True)
class RevocationNotice:
    """A notice whose signature is right. Whose protectors it may revoke is said by `owner_fingerprint`.

    `owner_fingerprint` and `protector_ids` are SHA-256, 64 lower-case hexadecimal digits. `made_at` is what the
    owner's clock said.
    """

    owner_fingerprint: str
    made_at: dt.datetime
    protector_ids: frozenset[str]

    def revokes(self, protector_id: str, owner_fingerprint: str) -> bool:
        """Whether it revokes the protector of this id, which names this owner."""
        return owner_fingerprint == self.owner_fingerprint and protector_id in self.protector_ids


def write_notice(
    owner: GuardianKeys, protector_ids: Iterable[str], now: dt.datetime, certificate: bytes | None = None
) -> bytes:
    """The owner's notice that the protectors with these SHA-256 (hexadecimal) are revoked. `now` is aware.

    `certificate` is the signing certificate by which the protectors name the owner, where it is an older one of the
    same key. Raises RevocationError for none, more than 256, or something that is no SHA-256.
    """
    hashes = tuple(sorted({value.lower() for value in protector_ids}))
    _check_hashes(hashes)
    moment = now.astimezone(dt.UTC).replace(microsecond=0)
    body = _write_body(certificate or owner.guardian.signing_certificate, moment, hashes)
    return _document(body, algorithms.sign(owner.signing_key, xmlform.canonical(body)))


def parse_notice(data: bytes) -> RevocationNotice:
    """Read a notice and check its signature. Raises RevocationError."""
    return parse_unverified(data).verify()


def parse_unverified(data: bytes) -> UnverifiedNotice:
    """Read a notice without checking its signature. Raises RevocationError."""
    with refusing(RevocationError, _ADVICE):
        root = xmlform.parse_document(data, namespace=REVOCATION_NAMESPACE, name="RevocationNotice", limit=NOTICE_MAX)
        fields = Fields(root, attributes=("Version",))
        if fields.attribute("Version") != "1":
            raise XmlFormError("notice-version", "This revocation notice was made by a newer program.")
        certificate, made_at, hashes = _read_body(fields.take("Body"))
        notice = UnverifiedNotice(certificate, made_at, hashes, read_signature(fields.take("OwnerSignature")))
        fields.end()
        _check_hashes(hashes)
        if notice.serialise() != data:
            raise XmlFormError("not-canonical", "The revocation notice has more than one way to be written.")
        return notice


def _read_body(element: Element) -> tuple[bytes, dt.datetime, tuple[str, ...]]:
    fields = Fields(element)
    certificate = xmlform.bytes_of(fields.take("OwnerCertificate"), most=certificates.CERTIFICATE_MAX)
    made_at = _read_moment(xmlform.text_of(fields.take("MadeAt")))
    inner = Fields(fields.take("Protectors"))
    found = inner.take_all("Sha256", PROTECTORS_MAX)
    inner.end()
    fields.end()
    return (
        certificate,
        made_at,
        tuple(xmlform.bytes_of(child, least=_HASH_SIZE, most=_HASH_SIZE).hex() for child in found),
    )


def _key_of(certificate: bytes) -> rsa.RSAPublicKey:
    try:
        return certificates.rsa_key_of(certificate, "signing")
    except GuardianError as error:
        raise RevocationError(error.code, f"The owner's certificate: {error.message}", _ADVICE) from None


def _read_moment(text: str) -> dt.datetime:
    try:
        if _MOMENT.fullmatch(text):
            return dt.datetime.fromisoformat(text)
    except ValueError:
        pass
    raise XmlFormError("moment", "MadeAt is not a time in UTC such as 2026-03-01T12:00:00Z.")


def _check_hashes(hashes: tuple[str, ...]) -> None:
    if not 0 < len(hashes) <= PROTECTORS_MAX:
        raise RevocationError(
            "protector-count", f"A revocation notice names 1 to {PROTECTORS_MAX} protectors, not {len(hashes)}."
        )
    if not all(_HASH.fullmatch(value) for value in hashes):
        raise RevocationError("protector-id", "A protector is named by its id, a SHA-256, 64 hexadecimal digits.")
    if any(left >= right for left, right in pairwise(hashes)):
        raise RevocationError("protector-order", "The protectors are not in ascending order, or one is named twice.")


def _write_body(certificate: bytes, made_at: dt.datetime, hashes: tuple[str, ...]) -> Written:
    ns = REVOCATION_NAMESPACE
    named = (xmlform.build_bytes(ns, "Sha256", bytes.fromhex(value)) for value in hashes)
    return xmlform.build(
        ns,
        "Body",
        xmlform.build_bytes(ns, "OwnerCertificate", certificate),
        xmlform.build_text(ns, "MadeAt", f"{made_at.replace(tzinfo=None).isoformat(timespec='seconds')}Z"),
        xmlform.build(ns, "Protectors", *named),
    )


def _document(body: Written, signature: Signature) -> bytes:
    ns = REVOCATION_NAMESPACE
    signed = write_signature(ns, signature, "OwnerSignature")
    return xmlform.canonical(xmlform.build(ns, "RevocationNotice", body, signed, attributes={"Version": "1"}))
