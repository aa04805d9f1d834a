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


def is_settled(verified: VerifiedProtector, guardian: Guardian, without: Collection[str] = ()) -> bool:
    """Whether `move_to` would change nothing."""
    return pair_of(guardian) in pairs_of(verified) and not _leaving(verified, guardian, without)


def move_to(
    verified: VerifiedProtector, owner: GuardianKeys, guardian: Guardian, without: Collection[str] = ()
) -> VerifiedProtector:
    """The protector for `guardian` too, and no longer for those whose fingerprint is in `without`; same transport key.

    Fingerprints are SHA-256 of signing or encryption certificates; one that the protector does not have is passed over.
    The new guardian's own present keys never leave: so a guardian's fingerprint puts out its earlier pairs of keys.
    Raises GuardianError, InvalidProtectorError.
    """
    while leaving := _leaving(verified, guardian, without):
        verified = verify_protector(revoke(verified, owner, leaving[0]))
    if pair_of(guardian) not in pairs_of(verified):
        verified = verify_protector(grant(verified, owner, guardian))
    return verified


def _leaving(verified: VerifiedProtector, guardian: Guardian, without: Collection[str]) -> list[str]:
    """Encryption certificates (SHA-256) of the wrappings that are to go."""
    staying = pair_of(guardian)
    return [
        party.encryption_fingerprint
        for party in parties(verified)
        if not party.wrapping.is_owner
        and any(
            same_fingerprint(named, one)
            for named in without
            for one in (party.fingerprint, party.encryption_fingerprint)
        )
        and certificates.pair_fingerprint(party.wrapping.signing_certificate, party.wrapping.encryption_certificate)
        != staying
    ]
