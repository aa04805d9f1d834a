"""The fifteen built-in policies, one behaviour each, and what an administrator can and cannot change."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation.baseline import (
    Baseline,
    baseline_from_log,
    baseline_of,
    boot_from_reference_log,
    compare,
    reference_warnings,
)
from hgs.attestation.errors import Malformed, TooLarge
from hgs.attestation.policies import (
    BUILT_IN_POLICIES,
    NamedBaseline,
    NamedDigest,
    PolicySet,
    PolicyState,
    built_in_policy,
    evaluate_policies,
    skipped_policies,
)
from hgs.attestation.sipa import MeasuredBoot, SipaType, encode_boolean, encode_number, encode_tlv, measured_boot
from hgs.attestation.tcglog import accept_reference_log, parse_log
from hgs.attestation.verdict import CheckResult, Outcome
from tests.hgs.attestation.boots import CI_DIGEST, REVOKED, Boot, identity_record
from tests.hgs.attestation.samples import sample


def facts(boot: Boot) -> MeasuredBoot:
    return measured_boot(accept_reference_log(boot.log().build()))


def registered(reference: Boot, **changes: Any) -> PolicySet:
    baseline = baseline_of(facts(reference))
    named = NamedBaseline("Acme R1", baseline)
    policies = PolicySet(baselines=(named,), ci_policies=(NamedDigest("Hosts", CI_DIGEST),))
    return replace(policies, **changes)


def judge(boot: Boot, policies: PolicySet, code: str) -> CheckResult:
    return next(check for check in evaluate_policies(facts(boot), policies) if check.code == code)


@pytest.fixture
def good(healthy: Boot) -> Boot:
    return healthy


def test_a_healthy_boot_satisfies_every_enabled_policy(good: Boot) -> None:
    results = evaluate_policies(facts(good), registered(good))
    assert len(results) == len(BUILT_IN_POLICIES) == 15
    assert [check.code for check in results if check.outcome is Outcome.FAILED] == []
    skipped = {check.code for check in results if check.outcome is Outcome.SKIPPED}
    assert skipped == {"BitLockerEnabled", "DumpEncryption", "DumpEncryptionKey"}


def test_secure_boot_off_is_said_in_words(good: Boot) -> None:
    result = judge(replace(good, secure_boot=b"\x00"), registered(good), "SecureBootEnabled")
    assert result.outcome is Outcome.FAILED
    assert result.sentence == ("Secure Boot is off: the log's SecureBoot variable is 0. Turn it on in the firmware.")
    assert result.policy == "Hgs_SecureBootEnabled"
    assert result.guid == "6a460ee1-62ea-416f-ae6c-04e29634506d"
    assert result.sub_status == "SecureBoot"


def test_an_unregistered_ci_policy_is_named(good: Boot) -> None:
    result = judge(replace(good, ci_digests=("1a2b" * 16,)), registered(good), "SystemIntegrityCiKnownGood")
    assert result.sentence == (
        "The code-integrity policy SiPolicy.p7b 10.0.0.0 (sha256 1a2b1a2b1a2b…) is not registered with this HGS."
    )


@pytest.mark.parametrize("digests", [(), (CI_DIGEST, "ab" * 32), ("ab" * 32, CI_DIGEST)])
def test_every_ci_policy_must_be_registered_and_there_must_be_one(good: Boot, digests: tuple[str, ...]) -> None:
    result = judge(replace(good, ci_digests=digests), registered(good), "SystemIntegrityCiKnownGood")
    assert result.outcome is Outcome.FAILED


def test_several_registered_ci_policies_pass(good: Boot) -> None:
    both = (NamedDigest("Hosts", CI_DIGEST), NamedDigest("Drivers", "ab" * 32))
    boot = replace(good, ci_digests=(CI_DIGEST, "ab" * 32, CI_DIGEST))
    assert judge(boot, registered(good, ci_policies=both), "SystemIntegrityCiKnownGood").outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("transfers", "holds"),
    [((1,), True), ((1, 5), True), ((2,), False), ((1, 2), False), ((5, 1), False), ((1, 5, 2), False)],
)
def test_a_full_boot_starts_with_1_and_never_resumes(good: Boot, transfers: tuple[int, ...], holds: bool) -> None:
    result = judge(replace(good, transfers=transfers), registered(good), "FullBoot")
    assert (result.outcome is Outcome.PASSED) is holds


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("DebugModeUefi", encode_boolean(SipaType.OS_KERNEL_DEBUG, True)),
        ("DebugModeUefi", encode_boolean(SipaType.HYPERVISOR_DEBUG, True)),
        ("VsmRunning", encode_number(SipaType.VSM_LAUNCH_TYPE, 0)),
        ("VsmRunning", encode_number(SipaType.HYPERVISOR_LAUNCH_TYPE, 0)),
        ("IommuEnabled", encode_boolean(SipaType.VBS_IOMMU_REQUIRED, False)),
        ("PagefileEncryptionEnabled", encode_boolean(SipaType.PAGEFILE_ENCRYPTION_ENABLED, False)),
        ("HypervisorEnforcedCiPolicy", encode_number(SipaType.VBS_HVCI_POLICY, 0)),
        ("NoHibernation", encode_boolean(SipaType.HIBERNATION_DISABLED, False)),
        ("NoDumps", encode_boolean(SipaType.DUMPS_DISABLED, False)),
    ],
)
def test_one_bad_record_fails_its_policy(good: Boot, code: str, bad: bytes) -> None:
    assert judge(good, registered(good), code).outcome is Outcome.PASSED
    assert judge(replace(good, extra_settings=(bad,)), registered(good), code).outcome is Outcome.FAILED


def test_a_boot_that_measured_no_settings_satisfies_nothing(good: Boot) -> None:
    empty = replace(good, transfers=(), identity=None)
    failed = {
        check.code for check in evaluate_policies(facts(empty), registered(good)) if check.outcome is Outcome.FAILED
    }
    assert failed == {policy.code for policy in BUILT_IN_POLICIES} - {
        "SecureBootEnabled",
        "SecureBootSettings",
        "SystemIntegrityCiKnownGood",
        "BitLockerEnabled",
        "DumpEncryptionKey",
    }


def test_two_different_identity_keys_in_one_boot_are_refused(good: Boot, other_key: rsa.RSAPrivateKey) -> None:
    boot = replace(good, extra_settings=(identity_record(other_key.public_key()),))
    result = judge(boot, registered(good), "VsmIdkPresent")
    assert result.outcome is Outcome.FAILED
    assert result.evidence == {"identity_keys": "2"}


# ---- dumps ---------------------------------------------------------------------------------------------------------

DUMP_KEY = hashlib.sha256(b"dump key").hexdigest()


def with_dumps(good: Boot, *, key: bool = True) -> Boot:
    records = [encode_boolean(SipaType.DUMP_ENCRYPTION_ENABLED, True)]
    if key:
        records.append(encode_tlv(SipaType.DUMP_ENCRYPTION_KEY_DIGEST, bytes.fromhex(DUMP_KEY)))
    return replace(good, dumps_disabled=False, extra_settings=records, transfers=(1,))


def test_dumps_in_clear_are_refused(good: Boot) -> None:
    boot = replace(good, dumps_disabled=False)
    assert judge(boot, registered(good), "DumpEncryption").outcome is Outcome.FAILED
    assert judge(boot, registered(good), "DumpEncryptionKey").outcome is Outcome.SKIPPED


def test_encrypted_dumps_with_a_flag_that_was_once_off_are_refused(good: Boot) -> None:
    # Boot.log measures DUMP_ENCRYPTION_ENABLED = 0 first; the later 1 must not hide it.
    assert judge(with_dumps(good), registered(good), "DumpEncryption").outcome is Outcome.FAILED


@pytest.mark.parametrize(("keys", "outcome"), [((DUMP_KEY,), "passed"), ((), "failed"), (("00" * 32,), "failed")])
def test_the_dump_key_must_be_registered(good: Boot, keys: tuple[str, ...], outcome: str) -> None:
    boot = facts(with_dumps(good))
    flags = dict(boot.flags) | {SipaType.DUMP_ENCRYPTION_ENABLED: (True,)}
    policies = registered(good, dump_keys=tuple(NamedDigest("ops", key) for key in keys))
    results = {check.code: check for check in evaluate_policies(replace(boot, flags=flags), policies)}
    assert results["DumpEncryption"].outcome is Outcome.PASSED
    assert results["DumpEncryptionKey"].outcome == outcome


# ---- states --------------------------------------------------------------------------------------------------------


def test_a_disabled_policy_is_listed_and_not_evaluated(good: Boot) -> None:
    policies = registered(good, states={"Hgs_IommuEnabled": PolicyState.DISABLED})
    result = judge(replace(good, iommu=False), policies, "IommuEnabled")
    assert result.outcome is Outcome.SKIPPED
    assert "disabled" in result.sentence


def test_a_locked_policy_cannot_be_disabled(good: Boot) -> None:
    policies = registered(good, states={"Hgs_SecureBootEnabled": PolicyState.DISABLED})
    assert judge(replace(good, secure_boot=b"\x00"), policies, "SecureBootEnabled").outcome is Outcome.FAILED


def test_bitlocker_is_off_by_default_and_can_be_demanded(good: Boot) -> None:
    policies = registered(good, states={"Hgs_BitLockerEnabled": PolicyState.ENABLED})
    assert judge(good, policies, "BitLockerEnabled").outcome is Outcome.FAILED
    unlocked = replace(good, extra_settings=(encode_number(SipaType.BITLOCKER_UNLOCK, 4),))
    assert judge(unlocked, policies, "BitLockerEnabled").outcome is Outcome.PASSED


def test_policy_names_are_found_in_any_letter_case() -> None:
    found = built_in_policy("HGS_PAGEFILEENCRYPTIONENABLED")
    assert found is not None
    assert found.code == "PagefileEncryptionEnabled"
    assert built_in_policy("Hgs_Nothing") is None


def test_policies_that_were_not_reached_are_listed() -> None:
    assert {check.outcome for check in skipped_policies("because")} == {Outcome.SKIPPED}


def test_names_and_guids_are_unique() -> None:
    assert len({policy.guid for policy in BUILT_IN_POLICIES}) == 15
    assert len({policy.name.lower() for policy in BUILT_IN_POLICIES}) == 15


# ---- baselines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [{"boot_counter": 99}, {"transfers": (1,)}, {"ci_digests": ("ab" * 32,)}, {"locality": 3}, {"iommu": False}],
)
def test_what_baselines_do_not_speak_of_does_not_break_them(good: Boot, same: dict[str, Any]) -> None:
    assert compare(baseline_of(facts(good)), facts(replace(good, **same))) == ()


@pytest.mark.parametrize(
    ("change", "subjects", "words"),
    [
        ({"secure_boot": b"\x00"}, {"secure-boot"}, "Secure Boot is off, and on in the baseline"),
        ({"authority": b"another"}, {"authority"}, "which is new"),
        ({"revoked": REVOKED[:1]}, {"dbx"}, "the revocation list dbx lost 1 entry (sha256 020202020202…)"),
        ({"revoked": (*REVOKED, b"\x03" * 32)}, {"dbx"}, "dbx gained 1 entry"),
        ({"revoked": ()}, {"dbx"}, "dbx lost 2 entries"),
        ({"debug": True}, {"debug"}, "debugging is on"),
        ({"custom_policy": b"\x06" * 32}, {"custom-policy"}, "the custom Secure Boot policies lost 1 entry"),
    ],
)
def test_every_difference_is_named(good: Boot, change: dict[str, Any], subjects: set[str], words: str) -> None:
    differences = compare(baseline_of(facts(good)), facts(replace(good, **change)))
    assert {item.subject for item in differences} == subjects
    assert any(words in item.sentence for item in differences)


def test_the_nearest_baseline_is_named_with_what_differs(good: Boot) -> None:
    far = baseline_of(facts(replace(good, secure_boot=b"\x00", debug=True, revoked=())))
    policies = registered(good)
    policies = replace(policies, baselines=(NamedBaseline("Far", far), *policies.baselines))
    result = judge(replace(good, revoked=REVOKED[:1]), policies, "SecureBootSettings")
    assert result.evidence["nearest_baseline"] == "Acme R1"
    assert "Compared with the nearest, Acme R1: the revocation list dbx lost 1 entry" in result.sentence
    assert judge(good, policies, "SecureBootSettings").evidence == {"baseline": "Acme R1"}


def test_a_baseline_survives_storage(good: Boot) -> None:
    baseline = baseline_from_log(good.log().build().serialise())
    assert Baseline.from_json(baseline.to_json()) == baseline
    assert "dbx" in baseline.databases
    with pytest.raises(Malformed):
        Baseline.from_json({"secure_boot": True})


def test_a_poor_reference_host_is_warned_of(good: Boot) -> None:
    assert reference_warnings(facts(good)) == ()
    poor = replace(good, secure_boot=b"\x00", iommu=False, debug=True, ci_digests=(), transfers=())
    assert len(reference_warnings(facts(poor))) == 4
    assert len(reference_warnings(facts(replace(poor, debug=True, transfers=(1,))))) == 4


def test_a_file_that_is_no_log_is_no_baseline() -> None:
    with pytest.raises(Malformed):
        baseline_from_log(b"not a log at all, but long enough to hold a header")
    with pytest.raises(TooLarge):
        baseline_from_log(bytes(600 * 1024))


def test_a_real_log_as_baseline_matches_itself() -> None:
    data = sample("eventlogs/latitude-7520.bin")
    boot = boot_from_reference_log(data)
    assert compare(baseline_from_log(data), boot) == ()
    failed = {check.code for check in evaluate_policies(boot, PolicySet()) if check.outcome is Outcome.FAILED}
    assert failed == {
        "SecureBootEnabled",
        "SecureBootSettings",
        "SystemIntegrityCiKnownGood",
        "IommuEnabled",
        "PagefileEncryptionEnabled",
        "NoHibernation",
        "NoDumps",
        "DumpEncryption",
    }
    assert parse_log(data).header is not None
