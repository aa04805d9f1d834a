"""Shielding data files (PDK): made offline by a VM's owner, read by the fabric, opened on an attested host.

Two parts. The public part (type, policy, key protector, volume ID qualifiers) can be read by anybody and changed by
nobody: the owner's signature covers it and the encrypted part together. The encrypted part (answer file, other
files) is under a key derived from the protector's transport key and bound to the public part as additional data, so a
content can never be moved under another policy or other qualifiers.

`parse_pdk` gives only what is authenticated by the owner *named in the file*. Whether that is the owner you mean is
told by `owner_fingerprint`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from fabric.shielding.content import ShieldingSecrets, parse_content, serialise_content
from fabric.shielding.errors import ShieldingContentError, ShieldingDataError, refusing
from fabric.shielding.pdk_form import (
    ADVICE,
    PDK_MAX,
    QUALIFIERS_MAX,
    PdkDocument,
    PdkType,
    Policy,
    PublicPart,
    body_octets,
    parse_document,
    public_octets,
    serialise_document,
)
from fabric.shielding.viq import CatalogIdentity, Decision, VolumeIdQualifier, decide
from hgs.keyprotection import algorithms, certificates
from hgs.keyprotection.algorithms import RandomBytes
from hgs.keyprotection.guardian import Guardian, GuardianKeys
from hgs.keyprotection.ownership import open_as_owner
from hgs.keyprotection.protector import (
    Protector,
    VerifiedProtector,
    new_protector,
    parse_protector,
    roll,
    serialise_protector,
    verify_protector,
)
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.succession import move_to
from hgs.keyprotection.transport_key import TransportKey

__all__ = [
    "PDK_MAX",
    "Pdk",
    "PdkType",
    "Policy",
    "ShieldingSecrets",
    "open_pdk",
    "parse_pdk",
    "regrant_pdk",
    "write_pdk",
]


@dataclass(frozen=True, slots=True)
class Pdk:
    """Shielding data whose public part is authenticated by its owner. Only `parse_pdk` makes one."""

    type: PdkType
    policy: Policy
    qualifiers: tuple[VolumeIdQualifier, ...]
    protector: VerifiedProtector
    _document: PdkDocument = field(repr=False)

    @property
    def key_protector(self) -> Protector:
        """The protector to send to HGS."""
        return self.protector.protector

    @property
    def owner_fingerprint(self) -> str:
        """SHA-256 of the owner's signing certificate, 64 hexadecimal digits."""
        return self.protector.owner_fingerprint

    @property
    def guardian_fingerprints(self) -> tuple[str, ...]:
        """SHA-256 of each guardian's signing certificate, the owner not among them."""
        return tuple(certificates.fingerprint(wrapping.signing_certificate) for wrapping in self.protector.guardians)

    def applies_to(self, identity: CatalogIdentity) -> Decision:
        """Whether the owner trusts the template disk with this (verified) identity, and if not, why."""
        return decide(self.qualifiers, identity)

    def serialise(self) -> bytes:
        """The file's bytes."""
        return serialise_document(self._document)


def write_pdk(
    owner: GuardianKeys,
    guardians: Sequence[Guardian],
    policy: Policy,
    qualifiers: Sequence[VolumeIdQualifier],
    secrets: ShieldingSecrets,
    random_bytes: RandomBytes,
) -> bytes:
    """A new shielding data file for shielded templates, with a fresh key protector and transport key.

    Raises ShieldingContentError, GuardianError.
    """
    if not 0 < len(qualifiers) <= QUALIFIERS_MAX:
        raise ShieldingContentError(
            "qualifiers",
            f"Shielding data for templates names 1 to {QUALIFIERS_MAX} trusted template disks.",
            "Add at least one with --catalog or --qualifier.",
        )
    if not guardians:
        raise ShieldingContentError(
            "no-guardian",
            "Shielding data without a guardian opens on no host.",
            "Name at least one guardian whose Host Guardian Service may release the keys.",
        )
    protector, transport_key = new_protector(owner, guardians, random_bytes)
    public = PublicPart(PdkType.FOR_SHIELDED_TEMPLATES, policy, serialise_protector(protector), tuple(qualifiers))
    return _seal(public, serialise_content(secrets), transport_key, owner, random_bytes)


def _seal(
    public: PublicPart, plaintext: Secret, transport_key: TransportKey, owner: GuardianKeys, random_bytes: RandomBytes
) -> bytes:
    key = transport_key.derive("shielding-data")
    content = algorithms.encrypt_content(key, plaintext.reveal(), public_octets(public), random_bytes)
    signature = algorithms.sign(owner.signing_key, body_octets(public, content))
    return serialise_document(PdkDocument(public, content, signature))


def regrant_pdk(
    pdk: Pdk,
    owner: GuardianKeys,
    guardian: Guardian,
    random_bytes: RandomBytes,
    without: Collection[str] = (),
) -> bytes:
    """The same shielding data for one guardian more, and without those whose fingerprint (SHA-256) is in `without`.

    Type, policy, qualifiers and content stay; the transport key is a fresh one, so what opened the old file opens
    nothing of the new one. Raises GuardianError (not the owner), InvalidProtectorError, ShieldingError.
    """
    plaintext = _decrypt(pdk, open_as_owner(pdk.protector, owner))
    parse_content(plaintext)  # what no host could use is not passed on
    rolled, transport_key = roll(pdk.protector, owner, random_bytes)
    protector = move_to(verify_protector(rolled), owner, guardian, without).protector
    public = replace(pdk._document.public, key_protector=serialise_protector(protector))
    return _seal(public, plaintext, transport_key, owner, random_bytes)


def parse_pdk(data: bytes) -> Pdk:
    """Parse a file, verify its key protector and the owner's signature over everything. Raises ShieldingDataError."""
    document = parse_document(data)
    with refusing(ShieldingDataError, ADVICE):
        protector = verify_protector(parse_protector(document.public.key_protector))
        owner_key = certificates.rsa_key_of(protector.owner.signing_certificate, "signing")
        octets = body_octets(document.public, document.content)
        if not algorithms.is_signed(owner_key, document.owner_signature, octets):
            raise ShieldingDataError(
                "owner-signature", "The shielding data was changed after its owner signed it.", ADVICE
            )
        algorithms.check_content_encryption(document.content.algorithm)
    public = document.public
    return Pdk(public.type, public.policy, public.qualifiers, protector, document)


def open_pdk(pdk: Pdk, transport_key: TransportKey) -> ShieldingSecrets:
    """Decrypt the content with the transport key of the file's own protector (the ingress key of its release).

    Raises ShieldingDataError when the key is not that one, ShieldingContentError when the content is malformed.
    """
    return parse_content(_decrypt(pdk, transport_key))


def _decrypt(pdk: Pdk, transport_key: TransportKey) -> Secret:
    document = pdk._document
    with refusing(ShieldingDataError, ADVICE):
        plaintext = algorithms.decrypt_content(
            transport_key.derive("shielding-data"), document.content, public_octets(document.public)
        )
    if plaintext is None:
        raise ShieldingDataError("transport-key", "The shielding data cannot be decrypted with this transport key.")
    return Secret(plaintext)
