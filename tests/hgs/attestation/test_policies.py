"""The fifteen built-in policies, one behaviour each, and what an administrator can and cannot change."""

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation.judgement import Judgement
from hgs.attestation.policies import (
    BUILT_IN_POLICIES,
    ModuleRule,
    NamedDigest,
    PolicyState,
    built_in_policy,
    evaluate_policies,
    skipped_policies,
)
from hgs.attestation.sipa import (
    LoadedModule,
    SipaType,
    encode_boolean,
    encode_container,
    encode_number,
    encode_text,
    encode_tlv,
)
from hgs.attestation.verdict import CheckResult, Outcome
from tests.hgs.attestation.boots import CI_DIGEST, Boot, facts, identity_record, judge, registered


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
        "The code-integrity policy SiPolicy.p7b 10.0.0.0 (sha256 1a2b1a2b1a2b…) is not registered with this HGS. "
        "Register it, or install a registered one on the host."
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
    ("transfers", "words"),
    [((2,), "resumed from sleep"), ((3, 1), "first transfer of control is 3, not 1"), ((), "does not say how")],
)
def test_why_a_start_is_no_full_boot_is_said(good: Boot, transfers: tuple[int, ...], words: str) -> None:
    assert words in judge(replace(good, transfers=transfers), registered(good), "FullBoot").sentence


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


# ---- code integrity ------------------------------------------------------------------------------------------------

FOO = encode_container(
    SipaType.LOADED_MODULE_AGGREGATION,
    encode_text(SipaType.FILE_PATH, "\\Windows\\System32\\drivers\\foo.sys"),
    encode_text(SipaType.AUTHORITY_PUBLISHER, "Contoso"),
    encode_tlv(SipaType.AUTHENTICODE_HASH, b"\x0f" * 32),
)
GOOD_MODULE = encode_container(
    SipaType.LOADED_MODULE_AGGREGATION, encode_text(SipaType.FILE_PATH, "\\Windows\\System32\\drivers\\good.sys")
)


def only_foo(module: LoadedModule) -> str | None:
    """The rules of a policy that refuses foo.sys and nothing else."""
    return "its publisher is on the deny list" if module.name == "foo.sys" else None


def with_rules(*, audit: bool = False, refuses: ModuleRule | None = only_foo) -> tuple[NamedDigest, ...]:
    return (NamedDigest("Hosts", CI_DIGEST, audit, refuses),)


def test_a_driver_that_the_policy_refuses_is_named(good: Boot) -> None:
    boot = replace(good, modules=(GOOD_MODULE, FOO))
    result = judge(boot, registered(good, ci_policies=with_rules()), "SystemIntegrityCiKnownGood")
    assert result.outcome is Outcome.FAILED
    assert result.sentence == (
        "The driver foo.sys (publisher Contoso) is not allowed by CI policy Hosts: its publisher is on the deny list."
    )
    assert result.evidence["refused_1"] == result.sentence
    assert result.warnings == ()


def test_several_refused_drivers_are_counted_and_listed(good: Boot) -> None:
    boot = replace(good, modules=(FOO, FOO))
    result = judge(boot, registered(good, ci_policies=with_rules()), "SystemIntegrityCiKnownGood")
    assert result.sentence.endswith("deny list. And 1 more.")
    assert {"refused_1", "refused_2"} <= set(result.evidence)


def test_a_policy_in_audit_mode_passes_and_warns(good: Boot) -> None:
    boot = replace(good, modules=(GOOD_MODULE, FOO))
    result = judge(boot, registered(good, ci_policies=with_rules(audit=True)), "SystemIntegrityCiKnownGood")
    assert result.outcome is Outcome.PASSED
    assert result.warnings == (
        "CI policy Hosts is in audit mode: it is not enforced.",
        "The driver foo.sys (publisher Contoso) is not allowed by CI policy Hosts, which is in audit mode and did not "
        "stop it: its publisher is on the deny list.",
    )
    verdict = Judgement("ab" * 32).decided((result,))
    assert verdict.passed
    assert verdict.warnings == result.warnings
    assert CheckResult.from_json(result.to_json()) == result


def test_a_policy_without_known_rules_is_matched_by_digest_alone(good: Boot) -> None:
    boot = replace(good, modules=(FOO,))
    result = judge(boot, registered(good, ci_policies=with_rules(refuses=None)), "SystemIntegrityCiKnownGood")
    assert result.outcome is Outcome.PASSED


def test_a_module_that_cannot_be_read_fails_where_rules_must_be_applied(good: Boot) -> None:
    odd = encode_container(SipaType.LOADED_MODULE_AGGREGATION, encode_tlv(SipaType.FILE_PATH, b"\x00\xd8"))
    boot = replace(good, modules=(odd,))
    assert judge(boot, registered(good), "SystemIntegrityCiKnownGood").outcome is Outcome.PASSED
    result = judge(boot, registered(good, ci_policies=with_rules()), "SystemIntegrityCiKnownGood")
    assert result.outcome is Outcome.FAILED
    assert "not UTF-16" in result.sentence


def test_code_integrity_that_was_ever_off_fails(good: Boot) -> None:
    for records in (
        (encode_boolean(SipaType.CODE_INTEGRITY, False), encode_boolean(SipaType.CODE_INTEGRITY, True)),
        (encode_boolean(SipaType.CODE_INTEGRITY, False),),
    ):
        result = judge(replace(good, extra_settings=records), registered(good), "SystemIntegrityCiKnownGood")
        assert result.outcome is Outcome.FAILED
        assert "Code integrity is off" in result.sentence


@pytest.mark.parametrize("kind", [SipaType.TEST_SIGNING, SipaType.FLIGHT_SIGNING])
def test_code_that_is_signed_for_tests_is_let_in_by_no_production_host(good: Boot, kind: SipaType) -> None:
    assert (
        judge(replace(good, extra_settings=(encode_boolean(kind, False),)), registered(good), "DebugModeUefi").outcome
        is Outcome.PASSED
    )
    result = judge(replace(good, extra_settings=(encode_boolean(kind, True),)), registered(good), "DebugModeUefi")
    assert result.outcome is Outcome.FAILED
    assert "signing" in result.sentence


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
    assert (DUMP_KEY[:12] in results["DumpEncryptionKey"].sentence) is (outcome == "failed")


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
