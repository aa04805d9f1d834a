"""Shielding data files (PDK): made offline by a VM's owner, read by the fabric, opened on an attested host.

Two parts. The public part (type, policy, key protector, volume ID qualifiers, the names of the values it will ask for,
the wish for a recovery key) can be read by anybody and changed by nobody: the owner's signature covers it and the
encrypted part together. The encrypted part (answer file, other files) is under a key derived from the protector's
transport key and bound to the public part as additional data, so a content can never be moved under another policy or
other qualifiers.

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
    Declarations,
    PdkDocument,
    PdkType,
    Policy,
    PublicPart,
    RecoveryKey,
    body_octets,
    parse_document,
    public_octets,
    serialise_document,
)
from fabric.shielding.purpose import decide_for_template
from fabric.shielding.rdp import check_rdp_certificate
from fabric.shielding.viq import CatalogIdentity, Decision, VolumeIdQualifier
from hgs.keyprotection import algorithms, certificates
from hgs.keyprotection.algorithms import RandomBytes
from hgs.keyprotection.guardian import Guardian, GuardianKeys
from hgs.keyprotection.ownership import grant, open_as_owner, revoke
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
    "PdkChange",
    "PdkType",
    "Policy",
    "RecoveryKey",
    "ShieldingSecrets",
    "change_pdk",
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
        """Whether a VM may be made from the template disk with this (verified) identity, and if not, why."""
        return decide_for_template(self.type, self.qualifiers, identity)

    @property
    def version(self) -> int:
        """The format's version."""
        return self._document.public.version

    @property
    def substitution_strings(self) -> tuple[str, ...] | None:
        """The placeholders that a VM's values will be asked for, sorted; None if the file does not say (Version 1)."""
        declared = self._document.public.declared
        return None if declared is None else declared.substitution_strings

    @property
    def escrows_recovery_key(self) -> bool:
        """Whether the owner asks for a recovery key of each disk (`fabric.shielding.recovery`)."""
        declared = self._document.public.declared
        return declared is not None and declared.recovery_key is RecoveryKey.ESCROW

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
    *,
    kind: PdkType = PdkType.FOR_SHIELDED_TEMPLATES,
    recovery_key: RecoveryKey = RecoveryKey.ESCROW,
) -> bytes:
    """A new shielding data file, with a fresh key protector and transport key.

    Raises ShieldingContentError, GuardianError.
    """
    _check_disks(kind, qualifiers)
    _check_content(kind, secrets)
    if not guardians:
        raise _no_guardian()
    if secrets.rdp_certificate is not None:
        check_rdp_certificate(*secrets.rdp_certificate)
    protector, transport_key = new_protector(owner, guardians, random_bytes)
    declared = Declarations(secrets.substitution_strings, recovery_key)
    public = PublicPart(kind, policy, serialise_protector(protector), tuple(qualifiers), declared)
    return _seal(public, serialise_content(secrets), transport_key, owner, random_bytes)


def _check_disks(kind: PdkType, qualifiers: Sequence[VolumeIdQualifier]) -> None:
    if kind is PdkType.FOR_EXISTING_VMS:
        if qualifiers:
            raise ShieldingContentError(
                "qualifiers",
                "Shielding data for existing virtual machines names no template disks.",
                "Leave them out, or make shielding data for shielded templates.",
            )
    elif not 0 < len(qualifiers) <= QUALIFIERS_MAX:
        raise ShieldingContentError(
            "qualifiers",
            f"Shielding data for templates names 1 to {QUALIFIERS_MAX} trusted template disks.",
            "Add at least one with --catalog or --qualifier.",
        )


def _check_content(kind: PdkType, secrets: ShieldingSecrets) -> None:
    if kind is PdkType.FOR_SHIELDED_TEMPLATES and not len(secrets.answer_file):
        raise ShieldingContentError(
            "answer-file",
            "Shielding data for templates needs an answer file: it is all a new virtual machine is told.",
            "Make one with gf answer-file new.",
        )


def _no_guardian() -> ShieldingContentError:
    return ShieldingContentError(
        "no-guardian",
        "Shielding data without a guardian opens on no host.",
        "Name at least one guardian whose Host Guardian Service may release the keys.",
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PdkChange:
    """What an owner changes in a file; None stays as it is.

    `add` are guardians to let in, `remove` fingerprints (SHA-256) of guardians' certificates to put out.
    """

    policy: Policy | None = None
    qualifiers: Sequence[VolumeIdQualifier] | None = None
    recovery_key: RecoveryKey | None = None
    add: Sequence[Guardian] = ()
    remove: Sequence[str] = ()


def change_pdk(pdk: Pdk, owner: GuardianKeys, change: PdkChange, random_bytes: RandomBytes) -> bytes:
    """A file of the newest version with the same type and content, the change made, under a fresh transport key.

    Who could open the old file and is put out cannot open the new one. Raises GuardianError (not the owner, a guardian
    that is there already or is not there), InvalidProtectorError, ShieldingError.
    """
    plaintext = _decrypt(pdk, open_as_owner(pdk.protector, owner))
    secrets = parse_content(plaintext)
    rolled, transport_key = roll(pdk.protector, owner, random_bytes)
    verified = verify_protector(rolled)
    for fingerprint in change.remove:
        verified = verify_protector(revoke(verified, owner, fingerprint))
    for guardian in change.add:
        verified = verify_protector(grant(verified, owner, guardian))
    if not verified.guardians:
        raise _no_guardian()
    public = _changed(pdk, change, secrets, serialise_protector(verified.protector))
    _check_disks(public.type, public.qualifiers)
    _check_content(public.type, secrets)
    return _seal(public, plaintext, transport_key, owner, random_bytes)


def _changed(pdk: Pdk, change: PdkChange, secrets: ShieldingSecrets, protector: bytes) -> PublicPart:
    kept = RecoveryKey.ESCROW if pdk.escrows_recovery_key else RecoveryKey.NONE
    return PublicPart(
        pdk.type,
        change.policy or pdk.policy,
        protector,
        pdk.qualifiers if change.qualifiers is None else tuple(change.qualifiers),
        Declarations(secrets.substitution_strings, change.recovery_key or kept),
    )


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

    Raises ShieldingDataError when the key is not that one, or when the file declares other substitution strings than
    the answer file has; ShieldingContentError when the content is malformed.
    """
    secrets = parse_content(_decrypt(pdk, transport_key))
    _check_content(pdk.type, secrets)
    if pdk.substitution_strings not in (None, secrets.substitution_strings):
        raise ShieldingDataError(
            "substitution-strings", "The shielding data declares other substitution strings than its answer file has.",
            ADVICE,
        )  # fmt: skip
    return secrets


def _decrypt(pdk: Pdk, transport_key: TransportKey) -> Secret:
    document = pdk._document
    with refusing(ShieldingDataError, ADVICE):
        plaintext = algorithms.decrypt_content(
            transport_key.derive("shielding-data"), document.content, public_octets(document.public)
        )
    if plaintext is None:
        raise ShieldingDataError("transport-key", "The shielding data cannot be decrypted with this transport key.")
    return Secret(plaintext)
