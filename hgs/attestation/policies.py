"""The fifteen built-in policies of MS-HGSA 2.2.2.13, and what an administrator sets about them.

A host passes when every enabled policy holds; two of them (``Hgs_SecureBootSettings``, ``Hgs_CiPolicy``) ask for a
match with something an administrator registered, and fail when nothing of the kind is registered.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from hgs.attestation import policy_checks as checks
from hgs.attestation.policy_checks import Finding, ModuleRule, NamedBaseline, NamedDigest, Registered
from hgs.attestation.sipa import MeasuredBoot
from hgs.attestation.verdict import AttestationSubStatus as Sub
from hgs.attestation.verdict import CheckResult, Outcome


class PolicyState(StrEnum):
    """Locked: enabled, and cannot be disabled."""

    DISABLED = "disabled"
    ENABLED = "enabled"
    LOCKED = "locked"


@dataclass(frozen=True)
class BuiltInPolicy:
    """One built-in policy. ``name`` is the ``Hgs_…`` name, ``code`` the specification's, ``guid`` its reason GUID."""

    name: str
    code: str
    guid: str
    sub_status: Sub
    default: PolicyState
    meaning: str
    check: Callable[[MeasuredBoot, Registered], Finding]


_LOCKED, _ENABLED, _DISABLED = PolicyState.LOCKED, PolicyState.ENABLED, PolicyState.DISABLED

BUILT_IN_POLICIES: Final = (
    BuiltInPolicy(
        "Hgs_SecureBootEnabled",
        "SecureBootEnabled",
        "6a460ee1-62ea-416f-ae6c-04e29634506d",
        Sub.SECURE_BOOT,
        _LOCKED,
        "Secure Boot is on.",
        checks.secure_boot_enabled,
    ),
    BuiltInPolicy(
        "Hgs_SecureBootSettings",
        "SecureBootSettings",
        "756dc455-9528-479a-a86a-c646417316c9",
        Sub.SECURE_BOOT_SETTINGS,
        _LOCKED,
        "The boot matches at least one registered TPM baseline.",
        checks.secure_boot_settings,
    ),
    BuiltInPolicy(
        "Hgs_UefiDebugDisabled",
        "DebugModeUefi",
        "20188fda-d40b-460d-b078-2e7898a42ae9",
        Sub.DEBUG_MODE,
        _LOCKED,
        "No debugger is enabled: firmware, boot manager, kernel, hypervisor.",
        checks.debug_disabled,
    ),
    BuiltInPolicy(
        "Hgs_CiPolicy",
        "SystemIntegrityCiKnownGood",
        "81f110ba-53c5-4064-9d64-51029fa24f49",
        Sub.CODE_INTEGRITY_POLICY,
        _LOCKED,
        "Every code-integrity policy in force is registered, and there is at least one.",
        checks.ci_policy_known,
    ),
    BuiltInPolicy(
        "Hgs_FullBoot",
        "FullBoot",
        "75ad09c9-7254-4d00-96f3-3b09d0aaac54",
        Sub.FULL_BOOT,
        _ENABLED,
        "The host booted fully; it did not resume from sleep or hibernation.",
        checks.full_boot,
    ),
    BuiltInPolicy(
        "Hgs_VsmIdkPresent",
        "VsmIdkPresent",
        "75d595de-12f5-41e9-a61e-469d3205ecca",
        Sub.VIRTUAL_SECURE_MODE,
        _LOCKED,
        "An identity key was measured, so that answers can be encrypted to it.",
        checks.identity_key_present,
    ),
    BuiltInPolicy(
        "Hgs_VsmRunning",
        "VsmRunning",
        "6c0a6d29-5bcb-4f28-bafb-f71eb60fdae0",
        Sub.VIRTUAL_SECURE_MODE,
        _ENABLED,
        "The hypervisor and virtualization-based security run.",
        checks.vsm_running,
    ),
    BuiltInPolicy(
        "Hgs_IommuEnabled",
        "IommuEnabled",
        "da0776e5-6570-44b3-9a17-7e95b4fc7779",
        Sub.IOMMU,
        _ENABLED,
        "Memory is protected from devices (IOMMU).",
        checks.iommu_enabled,
    ),
    BuiltInPolicy(
        "Hgs_BitLockerEnabled",
        "BitLockerEnabled",
        "347da547-d266-4939-bf3d-9ec73a90bdbc",
        Sub.BITLOCKER,
        _DISABLED,
        "The host's OS volume was unlocked with the TPM.",
        checks.bitlocker_enabled,
    ),
    BuiltInPolicy(
        "Hgs_PageFileEncryptionEnabled",
        "PagefileEncryptionEnabled",
        "12df0ee9-b38e-4086-90f8-703d9e7cb878",
        Sub.PAGEFILE_ENCRYPTION,
        _ENABLED,
        "The page file is encrypted.",
        checks.pagefile_encrypted,
    ),
    BuiltInPolicy(
        "Hgs_HypervisorEnforcedCiPolicy",
        "HypervisorEnforcedCiPolicy",
        "5408bd30-3250-4ac1-a150-c410af756699",
        Sub.HYPERVISOR_ENFORCED_CI,
        _ENABLED,
        "The hypervisor enforces code integrity.",
        checks.hypervisor_enforced_ci,
    ),
    BuiltInPolicy(
        "Hgs_NoHibernation",
        "NoHibernation",
        "a32022c6-dccd-4bf5-be76-3b5ca1542559",
        Sub.HIBERNATION_ENABLED,
        _ENABLED,
        "Hibernation is off.",
        checks.no_hibernation,
    ),
    BuiltInPolicy(
        "Hgs_NoDumps",
        "NoDumps",
        "2a796e36-e918-454f-b610-60f086e8d334",
        Sub.DUMPS_ENABLED,
        _ENABLED,
        "Memory dumps are off.",
        checks.no_dumps,
    ),
    BuiltInPolicy(
        "Hgs_DumpEncryption",
        "DumpEncryption",
        "6f390a71-753c-43aa-a326-74e30aedcd9d",
        Sub.DUMP_ENCRYPTION,
        _ENABLED,
        "Memory dumps, if there are any, are encrypted.",
        checks.dumps_encrypted,
    ),
    BuiltInPolicy(
        "Hgs_DumpEncryptionKey",
        "DumpEncryptionKey",
        "85dac0a4-8ba9-4a7f-a342-211862ce0be8",
        Sub.DUMP_ENCRYPTION_KEY,
        _ENABLED,
        "Memory dumps are encrypted to a registered key.",
        checks.dump_key_known,
    ),
)
_BY_NAME: Final = {policy.name.lower(): policy for policy in BUILT_IN_POLICIES}


def built_in_policy(name: str) -> BuiltInPolicy | None:
    """The policy of that ``Hgs_…`` name, whatever its letter case (the original's own pages differ)."""
    return _BY_NAME.get(name.lower())


@dataclass(frozen=True)
class PolicySet:
    """Everything an HGS administrator has set. ``states``: built-in policy name -> state, defaults where absent."""

    states: Mapping[str, PolicyState] = field(default_factory=dict)
    baselines: tuple[NamedBaseline, ...] = ()
    ci_policies: tuple[NamedDigest, ...] = ()
    dump_keys: tuple[NamedDigest, ...] = ()

    def state_of(self, policy: BuiltInPolicy) -> PolicyState:
        """The state in force: a locked default cannot be lowered."""
        if policy.default is PolicyState.LOCKED:
            return PolicyState.LOCKED
        return self.states.get(policy.name, policy.default)


def evaluate_policies(boot: MeasuredBoot, policies: PolicySet) -> tuple[CheckResult, ...]:
    """Every built-in policy on one boot, in the table's order; disabled ones are listed as skipped."""
    registered = Registered(policies.baselines, policies.ci_policies, policies.dump_keys)
    return tuple(_evaluate(policy, boot, policies, registered) for policy in BUILT_IN_POLICIES)


def skipped_policies(reason: str) -> tuple[CheckResult, ...]:
    """Every built-in policy as not reached."""
    return tuple(_result(policy, Finding(Outcome.SKIPPED, reason)) for policy in BUILT_IN_POLICIES)


def _evaluate(policy: BuiltInPolicy, boot: MeasuredBoot, policies: PolicySet, registered: Registered) -> CheckResult:
    if policies.state_of(policy) is PolicyState.DISABLED:
        return _result(policy, Finding(Outcome.SKIPPED, f"The policy {policy.name} is disabled on this HGS."))
    return _result(policy, policy.check(boot, registered))


def _result(policy: BuiltInPolicy, finding: Finding) -> CheckResult:
    return CheckResult(
        code=policy.code,
        policy=policy.name,
        guid=policy.guid,
        sub_status=policy.sub_status,
        outcome=finding.outcome,
        sentence=finding.sentence,
        evidence=finding.evidence,
        warnings=finding.warnings,
    )


__all__ = [
    "BUILT_IN_POLICIES",
    "BuiltInPolicy",
    "ModuleRule",
    "NamedBaseline",
    "NamedDigest",
    "PolicySet",
    "PolicyState",
    "built_in_policy",
    "evaluate_policies",
    "skipped_policies",
]
