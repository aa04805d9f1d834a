"""Moving a key protector from one guardian, or one pair of a guardian's keys, to the next. Only its owner can.

Guardians are compared by their keys, as `wrapping_for` does: one whose certificates were renewed with their keys is the
same guardian.
"""

from __future__ import annotations

from collections.abc import Collection

from hgs.keyprotection import certificates
from hgs.keyprotection.certificates import same_fingerprint
from hgs.keyprotection.guardian import Guardian, GuardianKeys
from hgs.keyprotection.ownership import grant, parties, revoke
from hgs.keyprotection.protector import VerifiedProtector, verify_protector


def pair_of(guardian: Guardian) -> str:
    """What stands for a guardian's present keys (`certificates.pair_fingerprint`)."""
    return certificates.pair_fingerprint(guardian.signing_certificate, guardian.encryption_certificate)


def pairs_of(verified: VerifiedProtector) -> tuple[str, ...]:
    """The pair of keys of each wrapping but the owner's, in the protector's order."""
    return tuple(
        certificates.pair_fingerprint(wrapping.signing_certificate, wrapping.encryption_certificate)
        for wrapping in verified.guardians
    )


def holds(verified: VerifiedProtector, fingerprint: str) -> bool:
    """Whether a guardian with this signing or encryption certificate (SHA-256) can open the protector."""
    return any(
        same_fingerprint(party.fingerprint, fingerprint) or same_fingerprint(party.encryption_fingerprint, fingerprint)
        for party in parties(verified)
        if not party.wrapping.is_owner
    )


def move_to(
    verified: VerifiedProtector, owner: GuardianKeys, guardian: Guardian, without: Collection[str] = ()
) -> VerifiedProtector:
    """The protector for `guardian` too, and no longer for those whose fingerprint is in `without`; same transport key.

    Who leaves leaves first: so a guardian can put out one pair of its keys and come in with another. A fingerprint that
    the protector does not have is passed over. Raises GuardianError, InvalidProtectorError.
    """
    for fingerprint in without:
        if holds(verified, fingerprint):
            verified = verify_protector(revoke(verified, owner, fingerprint))
    if pair_of(guardian) not in pairs_of(verified):
        verified = verify_protector(grant(verified, owner, guardian))
    return verified
