"""What only an owner can do with an existing key protector: let a guardian in, and put one out.

Both keep the transport key, so whatever is encrypted under it stays readable, and both keep every other wrapping as it
is, byte for byte. Both are signed by the owner. The number of offline unwraps, which nobody signs, is not kept.

Putting a guardian out of a protector does not make the guardian forget: it, and anybody who kept the old document,
can still open the *old* protector. That is what a revocation notice is for (`hgs.keyprotection.revocation`).
"""

from __future__ import annotations

from dataclasses import dataclass

from hgs.keyprotection import certificates
from hgs.keyprotection.certificates import same_fingerprint
from hgs.keyprotection.errors import GuardianError
from hgs.keyprotection.guardian import Guardian, GuardianKeys
from hgs.keyprotection.protector import (
    Protector,
    TransportKey,
    VerifiedProtector,
    Wrapping,
    open_wrapping,
    seal,
    wrapping_by_owner,
)
from hgs.keyprotection.protector_form import WRAPPINGS_MAX


@dataclass(frozen=True, slots=True)
class Party:
    """One holder of a protector's transport key, as a verified protector says.

    Fingerprints are SHA-256 of the certificates. `chain` are the ids of the wrappings that authorised it, its own
    parent first, the owner last; empty for the owner.
    """

    wrapping: Wrapping
    fingerprint: str
    encryption_fingerprint: str
    chain: tuple[int, ...]
    signed_last: bool

    @property
    def by_owner(self) -> bool:
        """Whether it is the owner, or the owner authorised it without anybody between."""
        return len(self.chain) <= 1


def parties(verified: VerifiedProtector) -> tuple[Party, ...]:
    """Everybody who can open the protector, in its order."""
    by_id = {wrapping.id: wrapping for wrapping in verified.protector.wrappings}
    return tuple(
        Party(
            wrapping,
            certificates.fingerprint(wrapping.signing_certificate),
            certificates.fingerprint(wrapping.encryption_certificate),
            _chain(wrapping, by_id),
            wrapping.id == verified.signer.id,
        )
        for wrapping in verified.protector.wrappings
    )


def _chain(wrapping: Wrapping, by_id: dict[int, Wrapping]) -> tuple[int, ...]:
    found: list[int] = []
    while not wrapping.is_owner:
        wrapping = by_id[wrapping.parent_id]
        found.append(wrapping.id)
    return tuple(found)


def open_as_owner(verified: VerifiedProtector, owner: GuardianKeys) -> TransportKey:
    """The transport key, opened by the owner; its signature is checked.

    Raises GuardianError for keys that are not the owner's, InvalidProtectorError for a wrong transport key.
    """
    wrapping = verified.owner
    if not (
        _same_key(wrapping.signing_certificate, owner.guardian.signing_certificate, "signing")
        and _same_key(wrapping.encryption_certificate, owner.guardian.encryption_certificate, "encryption")
    ):
        raise GuardianError(
            "not-the-owner",
            "These keys are not those of the key protector's owner.",
            "Only the owner can change who opens a key protector. Use the owner guardian it was made with.",
        )
    return open_wrapping(verified, wrapping, owner)


def _same_key(left: bytes, right: bytes, use: certificates.CertificateUse) -> bool:
    first, second = certificates.rsa_key_of(left, use), certificates.rsa_key_of(right, use)
    return certificates.public_octets(first) == certificates.public_octets(second)


def grant(verified: VerifiedProtector, owner: GuardianKeys, guardian: Guardian) -> Protector:
    """The protector with one more wrapping, for `guardian`, authorised by the owner.

    A guardian that is there already with another encryption certificate gets a second wrapping: that is how one moves
    to a new certificate. Raises GuardianError (not the owner, guardian there already, too many), InvalidProtectorError.
    """
    transport_key = open_as_owner(verified, owner)
    wrappings = verified.protector.wrappings
    _check_new(verified, guardian)
    if len(wrappings) >= WRAPPINGS_MAX:
        raise GuardianError(
            "too-many-guardians",
            f"The key protector has {WRAPPINGS_MAX - 1} guardians already, which is the most.",
            "Revoke a guardian that is no longer needed first.",
        )
    added = wrapping_by_owner(_free_id(wrappings), guardian, owner, verified.owner.id, transport_key)
    return seal((*wrappings, added), transport_key, owner.signing_key, verified.owner.id)


def _check_new(verified: VerifiedProtector, guardian: Guardian) -> None:
    if _same_key(verified.owner.signing_certificate, guardian.signing_certificate, "signing"):
        raise GuardianError("guardian-is-owner", "The owner opens the key protector anyway and needs no grant.")
    party = guardian.signing_certificate, guardian.encryption_certificate
    for wrapping in verified.protector.wrappings:
        if (wrapping.signing_certificate, wrapping.encryption_certificate) == party:
            raise GuardianError(
                "guardian-present",
                f"The guardian {guardian.name} can open the key protector already.",
                "Nothing needs to be done.",
            )


def _free_id(wrappings: tuple[Wrapping, ...]) -> int:
    """One more than the greatest id, or the smallest free one where that would not fit into 32 bits."""
    used = {wrapping.id for wrapping in wrappings}
    following = max(used) + 1
    return following if following < 2**32 else next(number for number in range(len(used) + 1) if number not in used)


def revoke(verified: VerifiedProtector, owner: GuardianKeys, guardian_fingerprint: str) -> Protector:
    """The protector without a guardian and without all whom only that guardian authorised.

    `guardian_fingerprint` is the SHA-256 of its signing certificate, for all its wrappings, or that of one encryption
    certificate, for that wrapping alone. Raises GuardianError (not the owner, the owner itself, guardian not there),
    InvalidProtectorError.
    """
    transport_key = open_as_owner(verified, owner)
    named = {
        party.wrapping.id
        for party in parties(verified)
        if same_fingerprint(party.fingerprint, guardian_fingerprint)
        or same_fingerprint(party.encryption_fingerprint, guardian_fingerprint)
    }
    if verified.owner.id in named:
        raise GuardianError(
            "owner-stays",
            "The owner of a key protector cannot be revoked.",
            "Make new shielding data with another owner guardian instead.",
        )
    if not named:
        raise GuardianError(
            "guardian-absent",
            "The key protector has no guardian with that fingerprint.",
            "List its guardians with: gf key-protector show FILE",
        )
    kept = tuple(
        party.wrapping for party in parties(verified) if not named.intersection((party.wrapping.id, *party.chain))
    )
    return seal(kept, transport_key, owner.signing_key, verified.owner.id)
