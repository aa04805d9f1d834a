"""Moving a protector to the next guardian, or to the next pair of the same guardian's keys."""

import datetime as dt

import pytest

from hgs.keyprotection import certificates
from hgs.keyprotection.errors import GuardianError, NoWrappingError
from hgs.keyprotection.guardian import GuardianKeys, guardian_keys_from
from hgs.keyprotection.protector import VerifiedProtector, new_protector, unwrap, verify_protector
from hgs.keyprotection.succession import is_settled, move_to, pair_of, pairs_of
from tests.hgs.keyprotection.guardians import NOW, branch, counted_random, lab, owner, stranger


def made_for(*guardians: GuardianKeys) -> VerifiedProtector:
    named = [keys.guardian for keys in guardians]
    return verify_protector(new_protector(owner(), named, counted_random("succession"))[0])


def renewed(keys: GuardianKeys) -> GuardianKeys:
    """The same keys in certificates of a later date."""
    later = NOW + dt.timedelta(days=30)
    signing = certificates.issue_self_signed("later signing", keys.signing_key, "signing", later)
    encryption = certificates.issue_self_signed("later encryption", keys.encryption_key, "encryption", later)
    return guardian_keys_from(keys.guardian.name, signing, keys.signing_key, encryption, keys.encryption_key)


def next_pair(keys: GuardianKeys, following: GuardianKeys) -> GuardianKeys:
    """The same signing key with another encryption key."""
    return guardian_keys_from(
        keys.guardian.name, keys.guardian.signing_certificate, keys.signing_key,
        following.guardian.encryption_certificate, following.encryption_key,
    )  # fmt: skip


def test_the_next_guardian_opens_the_same_key_and_everybody_else_still_does() -> None:
    before = made_for(lab())
    after = move_to(before, owner(), branch().guardian)
    key = unwrap(before, lab())
    assert unwrap(after, lab()) == unwrap(after, branch()) == unwrap(after, owner()) == key
    assert pair_of(branch().guardian) in pairs_of(after)


def test_who_leaves_can_no_longer_open_it() -> None:
    after = move_to(made_for(lab()), owner(), branch().guardian, [lab().guardian.fingerprint])
    with pytest.raises(NoWrappingError):
        unwrap(after, lab())
    assert pairs_of(after) == (pair_of(branch().guardian),)


def test_one_pair_of_a_guardians_keys_can_follow_another_of_the_same_signing_key() -> None:
    following = next_pair(lab(), branch())
    after = move_to(made_for(lab()), owner(), following.guardian, [lab().guardian.fingerprint])
    assert pairs_of(after) == (pair_of(following.guardian),)
    assert unwrap(after, following)


def test_certificates_renewed_with_their_keys_are_the_same_guardian() -> None:
    assert pair_of(renewed(lab()).guardian) == pair_of(lab().guardian)
    before = made_for(lab())
    assert move_to(before, owner(), renewed(lab()).guardian) is before


def test_the_owners_own_wrapping_is_no_guardian() -> None:
    before = made_for(lab())
    assert pair_of(owner().guardian) not in pairs_of(before)
    assert is_settled(before, lab().guardian, [owner().guardian.fingerprint])


def test_a_guardians_fingerprint_puts_out_its_earlier_keys_and_not_its_present_ones() -> None:
    following = next_pair(lab(), branch())
    both = move_to(made_for(lab()), owner(), following.guardian)
    assert pairs_of(both) == (pair_of(lab().guardian), pair_of(following.guardian))
    alone = move_to(both, owner(), following.guardian, [lab().guardian.fingerprint])
    assert pairs_of(alone) == (pair_of(following.guardian),)
    assert is_settled(alone, following.guardian, [lab().guardian.fingerprint])
    assert not is_settled(both, following.guardian, [lab().guardian.fingerprint])


def test_one_pair_can_be_put_out_by_its_encryption_certificate() -> None:
    old = certificates.fingerprint(lab().guardian.encryption_certificate)
    after = move_to(made_for(lab()), owner(), branch().guardian, [old])
    assert pairs_of(after) == (pair_of(branch().guardian),)


def test_a_guardian_that_is_not_there_need_not_leave() -> None:
    after = move_to(made_for(lab()), owner(), branch().guardian, [stranger().guardian.fingerprint])
    assert len(pairs_of(after)) == 2


def test_only_the_owner_moves_a_protector() -> None:
    with pytest.raises(GuardianError) as refused:
        move_to(made_for(lab()), stranger(), branch().guardian)
    assert refused.value.code == "not-the-owner"
