"""The signature in a PE file (Authenticode): who signed, and with which certificates. Nothing is verified here.

A scan asks what a file says of itself, to write rules about it; Windows verifies the signature when it loads the file.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from asn1crypto import cms, core, x509

from hgs.attestation.ci_policy import SignatureFacts

_NESTED: Final = "1.3.6.1.4.1.311.2.4.1"
_MAX_SIGNATURES: Final = 8


@dataclass(frozen=True)
class Certificate:
    """A certificate as rules name it. ``tbs`` is the hash of its signed part by its own signature's algorithm."""

    name: str
    issuer: str
    tbs: bytes
    self_signed: bool


@dataclass(frozen=True)
class Signature:
    """One signature: the signer's chain from the leaf upwards as far as it is in the file, and the signed digest."""

    chain: tuple[Certificate, ...]
    ekus: frozenset[str]
    digest: bytes

    @property
    def publisher(self) -> str:
        """Common name of who signed."""
        return self.chain[0].name

    @property
    def authority(self) -> Certificate | None:
        """The highest certificate in the file below the root: what publisher rules name. None if there is none."""
        above = [certificate for certificate in self.chain[1:] if not certificate.self_signed]
        return above[-1] if above else None

    def facts(self) -> SignatureFacts:
        """The signature as a policy is asked about it."""
        return SignatureFacts(
            publisher=self.publisher,
            issuer=self.chain[0].issuer,
            ekus=self.ekus,
            tbs=frozenset(certificate.tbs for certificate in self.chain),
            complete=self.chain[-1].self_signed,
        )


def read_signatures(pkcs7: bytes) -> tuple[Signature, ...]:
    """The signatures in a PKCS #7 blob, nested ones after the first. Raises ValueError for what is none."""
    found: list[Signature] = []
    waiting = [pkcs7]
    while waiting and len(found) < _MAX_SIGNATURES:
        signature, nested = _one(waiting.pop(0))
        found.append(signature)
        waiting += nested
    return tuple(found)


def _one(pkcs7: bytes) -> tuple[Signature, list[bytes]]:
    try:
        return _read(cms.ContentInfo.load(pkcs7, strict=True))
    except Exception as error:  # asn1crypto raises whatever its lazy decoding runs into
        raise ValueError("its signature cannot be read") from error


def _read(info: cms.ContentInfo) -> tuple[Signature, list[bytes]]:
    if info["content_type"].native != "signed_data":
        raise ValueError("not signed data")
    data = info["content"]
    certificates = [item.chosen for item in data["certificates"] if item.name == "certificate"]
    signer = data["signer_infos"][0]
    leaf = next(item for item in certificates if _is(item, signer["sid"]))
    chain = tuple(_certificate(item) for item in _upwards(leaf, certificates))
    usage = leaf.extended_key_usage_value
    ekus = frozenset(item.dotted for item in usage) if usage is not None else frozenset()
    return Signature(chain, ekus, _signed_digest(data)), _nested(signer)


def _is(certificate: x509.Certificate, sid: cms.SignerIdentifier) -> bool:
    if sid.name == "issuer_and_serial_number":
        wanted = sid.chosen
        same_issuer = certificate.issuer.dump() == wanted["issuer"].dump()
        return bool(same_issuer and certificate.serial_number == wanted["serial_number"].native)
    return bool(certificate.key_identifier == sid.chosen.native)


def _upwards(leaf: x509.Certificate, certificates: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """The leaf and those above it, by name."""
    by_subject = {item.subject.dump(): item for item in certificates}
    chain = [leaf]
    while chain[-1].issuer.dump() != chain[-1].subject.dump():
        above = by_subject.get(chain[-1].issuer.dump())
        if above is None or above in chain:
            break
        chain.append(above)
    return chain


def _certificate(certificate: x509.Certificate) -> Certificate:
    signed = certificate["tbs_certificate"].dump()
    algorithm = certificate["signature_algorithm"].hash_algo
    return Certificate(
        _common_name(certificate.subject),
        _common_name(certificate.issuer),
        hashlib.new(algorithm, signed).digest(),
        certificate.issuer.dump() == certificate.subject.dump(),
    )


def _common_name(name: x509.Name) -> str:
    value = name.native.get("common_name") or ""
    return str(value[-1] if isinstance(value, list) else value)


def _signed_digest(data: cms.SignedData) -> bytes:
    """The image's digest in the signed content (SpcIndirectDataContent: data, then DigestInfo)."""
    content = data["encap_content_info"]["content"]
    parsed = content.parsed if hasattr(content, "parsed") else content
    parts = core.SequenceOf(spec=core.Any, contents=parsed.contents)
    digest_info = core.SequenceOf.load(parts[1].dump(), spec=core.Any)
    return bytes(core.OctetString.load(digest_info[1].dump()).native)


def _nested(signer: cms.SignerInfo) -> list[bytes]:
    attributes = signer["unsigned_attrs"]
    if not attributes:
        return []
    return [
        value.dump() for attribute in attributes if attribute["type"].dotted == _NESTED for value in attribute["values"]
    ]
