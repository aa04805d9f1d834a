"""Shielding data for the next guardian: what its owner said stays, what opened the old file opens nothing."""

import pytest

from fabric.shielding.errors import ShieldingDataError
from fabric.shielding.pdk import open_pdk, parse_pdk, regrant_pdk
from hgs.keyprotection.errors import GuardianError, NoWrappingError
from hgs.keyprotection.protector import unwrap
from tests.fabric.shielding.test_pdk import ANSWER, CANARY, FILES, document, key, pdk
from tests.hgs.keyprotection.guardians import branch, counted_random, lab, owner, stranger


def regranted(*without: str) -> bytes:
    return regrant_pdk(pdk(), owner(), branch().guardian, counted_random("regrant"), without)


def test_the_next_guardian_finds_the_same_content_policy_and_qualifiers() -> None:
    after = parse_pdk(regranted())
    secrets = open_pdk(after, unwrap(after.protector, branch()))
    assert (secrets.answer_file, secrets.other_files) == (ANSWER, FILES)
    assert (after.type, after.policy, after.qualifiers) == (pdk().type, pdk().policy, pdk().qualifiers)
    assert after.owner_fingerprint == pdk().owner_fingerprint
    assert CANARY not in after.serialise()


def test_the_old_files_key_opens_nothing_of_the_new_one() -> None:
    after = parse_pdk(regranted())
    assert unwrap(after.protector, lab()) != key()
    with pytest.raises(ShieldingDataError) as refused:
        open_pdk(after, key())
    assert refused.value.code == "transport-key"


def test_guardians_stay_unless_they_are_put_out() -> None:
    assert set(parse_pdk(regranted()).guardian_fingerprints) == {
        lab().guardian.fingerprint,
        branch().guardian.fingerprint,
    }
    after = parse_pdk(regranted(lab().guardian.fingerprint))
    assert after.guardian_fingerprints == (branch().guardian.fingerprint,)
    with pytest.raises(NoWrappingError):
        unwrap(after.protector, lab())


@pytest.mark.parametrize("keys", [stranger, lab])
def test_only_the_owner_can_do_it(keys: object) -> None:
    with pytest.raises(GuardianError) as refused:
        regrant_pdk(pdk(), keys(), branch().guardian, counted_random("theirs"))  # type: ignore[operator]
    assert refused.value.code == "not-the-owner"


def test_the_old_file_is_left_as_it_was() -> None:
    before = document()
    regranted()
    assert pdk().serialise() == before
