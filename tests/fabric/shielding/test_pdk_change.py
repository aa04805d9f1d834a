"""What an owner changes in a file afterwards: the content stays, the key does not."""

from dataclasses import replace

import pytest

from fabric.shielding.errors import ShieldingContentError, ShieldingDataError
from fabric.shielding.pdk import Pdk, PdkChange, Policy, RecoveryKey, change_pdk, open_pdk, parse_pdk
from hgs.keyprotection.errors import GuardianError, NoWrappingError
from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.protector import unwrap
from tests.fabric.shielding.test_pdk import ANSWER, CANARY, FILES, QUALIFIER, document, key, pdk
from tests.fabric.shielding.test_pdk_versions import first_version
from tests.hgs.keyprotection.guardians import branch, counted_random, lab, owner, stranger

OTHER = replace(QUALIFIER, disk_name="Debian 13")


def changed(change: PdkChange, by: GuardianKeys | None = None, before: Pdk | None = None) -> Pdk:
    return parse_pdk(change_pdk(before or pdk(), by or owner(), change, counted_random("change")))


def test_policy_disks_and_wish_change_and_the_content_stays() -> None:
    change = PdkChange(policy=Policy.ENCRYPTION_SUPPORTED, qualifiers=(OTHER,), recovery_key=RecoveryKey.NONE)
    after = changed(change)
    assert (after.policy, after.qualifiers, after.escrows_recovery_key) == (
        Policy.ENCRYPTION_SUPPORTED,
        (OTHER,),
        False,
    )
    secrets = open_pdk(after, unwrap(after.protector, lab()))
    assert (secrets.answer_file, secrets.other_files) == (ANSWER, FILES)
    assert CANARY not in after.serialise()


def test_what_is_not_named_stays() -> None:
    after = changed(PdkChange())
    assert (after.type, after.policy, after.qualifiers) == (pdk().type, pdk().policy, pdk().qualifiers)
    assert after.guardian_fingerprints == pdk().guardian_fingerprints
    assert after.escrows_recovery_key == pdk().escrows_recovery_key


def test_the_old_files_key_opens_nothing_of_the_new_one() -> None:
    after = changed(PdkChange())
    with pytest.raises(ShieldingDataError):
        open_pdk(after, key())


def test_guardians_come_and_go() -> None:
    both = changed(PdkChange(add=[branch().guardian]))
    assert set(both.guardian_fingerprints) == {lab().guardian.fingerprint, branch().guardian.fingerprint}
    swapped = changed(PdkChange(add=[branch().guardian], remove=[lab().guardian.fingerprint]))
    assert swapped.guardian_fingerprints == (branch().guardian.fingerprint,)
    with pytest.raises(NoWrappingError):
        unwrap(swapped.protector, lab())


def test_the_last_guardian_stays() -> None:
    with pytest.raises(ShieldingContentError) as refused:
        changed(PdkChange(remove=[lab().guardian.fingerprint]))
    assert refused.value.code == "no-guardian"


def test_the_last_trusted_disk_stays() -> None:
    with pytest.raises(ShieldingContentError) as refused:
        changed(PdkChange(qualifiers=()))
    assert refused.value.code == "qualifiers"


@pytest.mark.parametrize(
    "change",
    [PdkChange(add=[lab().guardian]), PdkChange(remove=["ab" * 32]), PdkChange(remove=[owner().guardian.fingerprint])],
    ids=["there already", "not there", "the owner"],
)
def test_a_guardian_that_cannot_come_or_go_is_named(change: PdkChange) -> None:
    with pytest.raises(GuardianError):
        changed(change)


@pytest.mark.parametrize("keys", [stranger, lab])
def test_only_the_owner_changes_a_file(keys: object) -> None:
    with pytest.raises(GuardianError) as refused:
        changed(PdkChange(), keys())  # type: ignore[operator]
    assert refused.value.code == "not-the-owner"


def test_a_file_of_version_1_becomes_one_of_version_2_without_a_recovery_key() -> None:
    after = changed(PdkChange(), before=parse_pdk(first_version()))
    assert after.version == 2
    assert after.substitution_strings == parse_pdk(document()).substitution_strings
    assert not after.escrows_recovery_key
