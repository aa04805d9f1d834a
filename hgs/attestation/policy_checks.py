"""One function per built-in policy: boot facts in, finding out. What was not measured does not count as good."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol

from hgs.attestation.baseline import Baseline, Difference, baseline_of, differences, distance
from hgs.attestation.errors import LogUnsafe
from hgs.attestation.sipa import LoadedModule, MeasuredBoot, SipaType, SiPolicyInfo
from hgs.attestation.tpm import Algorithm
from hgs.attestation.verdict import Outcome

_TRANSFER_FULL_BOOT: Final = 1
_TRANSFER_RESUME: Final = 2
_UNLOCKED_BY_TPM: Final = 0x4
_SHOWN_DIFFERENCES: Final = 5
_RECORDED_DIFFERENCES: Final = 20
_SHOWN_MODULES: Final = 20
_SHOWN_NAME: Final = 100


@dataclass(frozen=True)
class NamedBaseline:
    """A registered TPM baseline."""

    name: str
    baseline: Baseline


class ModuleRule(Protocol):
    """What a registered code-integrity policy says of a loaded module."""

    def __call__(self, module: LoadedModule, /) -> str | None:
        """Why the policy clearly refuses the module (half a sentence for people); None when it allows it or may."""


@dataclass(frozen=True)
class NamedDigest:
    """A registered code-integrity policy or dump key: name and SHA-256, 64 lower-case hex digits.

    Of a policy whose content is known: ``audit``, it only logs what it would refuse; ``refuses``, its rules.
    """

    name: str
    digest: str
    audit: bool = False
    refuses: ModuleRule | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Registered:
    """What an administrator has registered."""

    baselines: tuple[NamedBaseline, ...]
    ci_policies: tuple[NamedDigest, ...]
    dump_keys: tuple[NamedDigest, ...]


@dataclass(frozen=True)
class Finding:
    """What one policy came to. ``warnings``: what the verdict should say though the policy holds."""

    outcome: Outcome
    sentence: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def _finding(holds: bool, good: str, bad: str, **evidence: str) -> Finding:
    return Finding(Outcome.PASSED if holds else Outcome.FAILED, good if holds else bad, evidence)


def _values(boot: MeasuredBoot, kind: SipaType) -> str:
    values = boot.flags.get(kind) or boot.numbers.get(kind) or ()
    return ", ".join(str(int(value)) for value in values) or "not measured"


def secure_boot_enabled(boot: MeasuredBoot, _: Registered) -> Finding:
    """PCR 7: the SecureBoot variable is 1 wherever it was measured."""
    state = boot.secure_boot.state
    told = "was not measured" if state == "not measured" else f"is {state.removeprefix('0')}"
    return _finding(
        boot.secure_boot.enabled,
        "Secure Boot is on.",
        f"Secure Boot is off: the log's SecureBoot variable {told}. Turn it on in the firmware.",
        SecureBoot=state,
        pcr="7",
    )


def secure_boot_settings(boot: MeasuredBoot, registered: Registered) -> Finding:
    """At least one registered baseline matches; otherwise the nearest one and what differs."""
    if not registered.baselines:
        return Finding(
            Outcome.FAILED,
            "No TPM baseline is registered with this HGS, so none can match. If this host is in good order, capture "
            "its boot as a baseline.",
        )
    host = baseline_of(boot)
    nearest, count = nearest_baseline(registered.baselines, host)
    if not count:
        return Finding(Outcome.PASSED, f"The boot matches the TPM baseline {nearest.name}.", {"baseline": nearest.name})
    found = tuple(islice(differences(nearest.baseline, host, nearest.name), _RECORDED_DIFFERENCES))
    return Finding(
        Outcome.FAILED,
        f"{_listed(found, count)} The boot matches no TPM baseline; {nearest.name} is the nearest. If the change is "
        "meant, capture this boot as a new baseline; otherwise set the firmware back.",
        {"nearest_baseline": nearest.name, "differences": str(count)}
        | {f"difference_{number}": item.sentence for number, item in enumerate(found, 1)},
    )


def nearest_baseline(baselines: Sequence[NamedBaseline], host: Baseline) -> tuple[NamedBaseline, int]:
    """The baseline (of at least one) with the fewest differences, by name among equals, and how many those are.

    ``host``: the baseline that the boot would be.
    """
    counted = ((distance(named.baseline, host), named) for named in baselines)
    count, nearest = min(counted, key=lambda pair: (pair[0], pair[1].name))
    return nearest, count


def _listed(found: tuple[Difference, ...], count: int) -> str:
    shown = " ".join(item.sentence for item in found[:_SHOWN_DIFFERENCES])
    more = count - _SHOWN_DIFFERENCES
    return f"{shown} There {'is' if more == 1 else 'are'} {more} more." if more > 0 else shown


def debug_disabled(boot: MeasuredBoot, _: Registered) -> Finding:
    """No debug flag was ever set, and those that a boot always measures are there."""
    sources = {
        SipaType.BOOT_DEBUGGING: "boot manager debugging",
        SipaType.OS_KERNEL_DEBUG: "kernel debugging",
        SipaType.HYPERVISOR_DEBUG: "hypervisor debugging",
    }
    # Neither is a debugger, but either lets in code that nobody meant for production.
    signing = {SipaType.TEST_SIGNING: "test signing", SipaType.FLIGHT_SIGNING: "flight signing"}
    evidence = {kind.name: _values(boot, kind) for kind in (*sources, *signing)}
    evidence["firmware"] = str(boot.secure_boot.debug).lower()
    on = [title for kind, title in sources.items() if boot.ever(kind)]
    if boot.secure_boot.debug:
        on.insert(0, "firmware debug mode")
    expected = [SipaType.BOOT_DEBUGGING, SipaType.OS_KERNEL_DEBUG]
    if any(boot.numbers.get(SipaType.HYPERVISOR_LAUNCH_TYPE, ())):
        expected.append(SipaType.HYPERVISOR_DEBUG)
    missing = [sources[kind] for kind in expected if not boot.measured(kind)]
    lax = [title for kind, title in signing.items() if boot.ever(kind)]
    if on or lax:
        told = [f"A debugger is enabled: {', '.join(on)}."] if on else []
        told += [f"Code that is not for production is let in: {', '.join(lax)}."] if lax else []
        return Finding(Outcome.FAILED, f"{' '.join(told)} Turn it off and restart.", evidence)
    if missing:
        return Finding(
            Outcome.FAILED, f"The log does not say whether {', '.join(missing)} is off. Restart the host.", evidence
        )
    return Finding(Outcome.PASSED, "No debugger is enabled.", evidence)


def ci_policy_known(boot: MeasuredBoot, registered: Registered) -> Finding:
    """Strict choice: every policy the loader measured must be registered, there must be one, and none may be broken."""
    if boot.measured(SipaType.CODE_INTEGRITY) and not boot.always(SipaType.CODE_INTEGRITY):
        return Finding(Outcome.FAILED, "Code integrity is off: no policy is enforced. Turn it on and restart.")
    if not boot.ci_policies:
        return Finding(
            Outcome.FAILED, "No code-integrity policy is in force. Install one that is registered with this HGS."
        )
    known = {item.digest: item for item in registered.ci_policies}
    matched: dict[str, NamedDigest] = {}
    evidence: dict[str, str] = {}
    for policy in dict.fromkeys(boot.ci_policies):
        digest = policy.digest.hex()
        if policy.hash_algorithm != Algorithm.SHA256 or digest not in known:
            return Finding(Outcome.FAILED, _unknown_ci(policy), {"policy": policy.label, "sha256": digest})
        matched[digest] = known[digest]
        evidence[known[digest].name] = f"{policy.label}, sha256 {digest}"
    return modules_allowed(boot, tuple(matched.values()), evidence)


def _unknown_ci(policy: SiPolicyInfo) -> str:
    return (
        f"The code-integrity policy {policy.label} (sha256 {policy.digest.hex()[:12]}…) is not registered with this "
        "HGS. Register it, or install a registered one on the host."
    )


def modules_allowed(boot: MeasuredBoot, policies: Sequence[NamedDigest], evidence: Mapping[str, str]) -> Finding:
    """No registered policy in force clearly refuses a loaded module; one in audit mode only warns."""
    refused: list[str] = []
    warnings = [f"CI policy {policy.name} is in audit mode: it is not enforced." for policy in policies if policy.audit]
    for policy in policies:
        if policy.refuses is None:
            continue
        try:
            sentences = [_refused(module, policy, why) for module in boot.modules if (why := policy.refuses(module))]
        except LogUnsafe as error:
            return Finding(Outcome.FAILED, error.message, evidence)
        (warnings if policy.audit else refused).extend(sentences)
    if refused:
        more = f" And {len(refused) - 1} more." if len(refused) > 1 else ""
        shown = {f"refused_{number}": sentence for number, sentence in enumerate(refused[:_SHOWN_MODULES], 1)}
        return Finding(Outcome.FAILED, refused[0] + more, {**evidence, **shown}, tuple(warnings))
    names = ", ".join(policy.name for policy in policies)
    return Finding(Outcome.PASSED, f"Code integrity is by {names}.", evidence, tuple(warnings))


def _refused(module: LoadedModule, policy: NamedDigest, why: str) -> str:
    mode = ", which is in audit mode and did not stop it" if policy.audit else ""
    name, publisher = module.name[:_SHOWN_NAME], module.publisher[:_SHOWN_NAME]
    what = f"driver {name or 'without a name'} (publisher {publisher or 'unknown'})"
    return f"The {what} is not allowed by CI policy {policy.name}{mode}: {why}."


def full_boot(boot: MeasuredBoot, _: Registered) -> Finding:
    """First transfer of control is a full boot, and none is a resume (a hypervisor's loader comes later as 5)."""
    values = boot.transfers
    holds = bool(values) and values[0] == _TRANSFER_FULL_BOOT and _TRANSFER_RESUME not in values
    bad = "The host resumed from sleep or hibernation. Restart it."
    if values and _TRANSFER_RESUME not in values:
        bad = f"The host did not start by a full boot: its first transfer of control is {values[0]}, not 1. Restart it."
    if not values:
        bad = "The log does not say how the host started. Restart it."
    shown = ", ".join(map(str, values)) or "not measured"
    return _finding(holds, "The host booted fully.", bad, TRANSFER_CONTROL=shown)


def identity_key_present(boot: MeasuredBoot, _: Registered) -> Finding:
    """Exactly one identity key was measured."""
    count = len(boot.identity_keys)
    bad = "No identity key was measured. Turn virtualization-based security on and restart."
    if count > 1:
        bad = f"{count} different identity keys were measured in one boot; only one may be."
    return _finding(count == 1, "An identity key was measured.", bad, identity_keys=str(count))


def vsm_running(boot: MeasuredBoot, _: Registered) -> Finding:
    """Hypervisor and VSM launch types are never 0."""
    kinds = (SipaType.HYPERVISOR_LAUNCH_TYPE, SipaType.VSM_LAUNCH_TYPE)
    return _finding(
        all(boot.never_zero(kind) for kind in kinds),
        "The hypervisor and virtualization-based security run.",
        "Virtualization-based security does not run. Turn it on and restart.",
        **{kind.name: _values(boot, kind) for kind in kinds},
    )


def iommu_enabled(boot: MeasuredBoot, _: Registered) -> Finding:
    """VBS requires the IOMMU; the hypervisor's own IOMMU setting is shown beside it."""
    kinds = (SipaType.VBS_IOMMU_REQUIRED, SipaType.HYPERVISOR_IOMMU_POLICY)
    return _finding(
        boot.always(SipaType.VBS_IOMMU_REQUIRED),
        "Memory is protected from devices (IOMMU).",
        "Memory is not protected from devices: the log does not require the IOMMU. Turn it on in firmware and policy.",
        **{kind.name: _values(boot, kind) for kind in kinds},
    )


def bitlocker_enabled(boot: MeasuredBoot, _: Registered) -> Finding:
    """A volume was unlocked with the TPM."""
    holds = any(value & _UNLOCKED_BY_TPM for value in boot.numbers.get(SipaType.BITLOCKER_UNLOCK, ()))
    return _finding(
        holds,
        "The OS volume was unlocked with the TPM.",
        "The OS volume is not encrypted, or was not unlocked with the TPM. Turn BitLocker on with a TPM protector.",
        BITLOCKER_UNLOCK=_values(boot, SipaType.BITLOCKER_UNLOCK),
    )


def _flag(boot: MeasuredBoot, kind: SipaType, good: str, bad: str) -> Finding:
    return _finding(boot.always(kind), good, bad, **{kind.name: _values(boot, kind)})


def pagefile_encrypted(boot: MeasuredBoot, _: Registered) -> Finding:
    """PAGEFILE_ENCRYPTION_ENABLED is always 1."""
    kind = SipaType.PAGEFILE_ENCRYPTION_ENABLED
    return _flag(boot, kind, "The page file is encrypted.", "The page file is not encrypted. Turn that on.")


def hypervisor_enforced_ci(boot: MeasuredBoot, _: Registered) -> Finding:
    """VBS_HVCI_POLICY is never 0."""
    kind = SipaType.VBS_HVCI_POLICY
    return _finding(
        boot.never_zero(kind),
        "The hypervisor enforces code integrity.",
        "The hypervisor does not enforce code integrity (HVCI is off). Turn it on and restart.",
        **{kind.name: _values(boot, kind)},
    )


def no_hibernation(boot: MeasuredBoot, _: Registered) -> Finding:
    """HIBERNATION_DISABLED is always 1."""
    return _flag(boot, SipaType.HIBERNATION_DISABLED, "Hibernation is off.", "Hibernation is possible. Turn it off.")


def no_dumps(boot: MeasuredBoot, _: Registered) -> Finding:
    """DUMPS_DISABLED is always 1."""
    return _flag(boot, SipaType.DUMPS_DISABLED, "Memory dumps are off.", "Memory dumps are on. Turn them off.")


def dumps_encrypted(boot: MeasuredBoot, _: Registered) -> Finding:
    """DUMP_ENCRYPTION_ENABLED is always 1, unless dumps are off."""
    if boot.always(SipaType.DUMPS_DISABLED):
        return Finding(Outcome.SKIPPED, "Does not apply: memory dumps are off.")
    good, bad = "Memory dumps are encrypted.", "Memory dumps are on and not encrypted. Turn them off, or encrypt them."
    return _flag(boot, SipaType.DUMP_ENCRYPTION_ENABLED, good, bad)


def dump_key_known(boot: MeasuredBoot, registered: Registered) -> Finding:
    """Every measured dump key is registered, unless dumps are off or not encrypted."""
    if boot.always(SipaType.DUMPS_DISABLED):
        return Finding(Outcome.SKIPPED, "Does not apply: memory dumps are off.")
    if not boot.always(SipaType.DUMP_ENCRYPTION_ENABLED):
        return Finding(Outcome.SKIPPED, "Does not apply: memory dumps are not encrypted.")
    unknown = sorted(set(boot.dump_keys) - {item.digest for item in registered.dump_keys})
    bad = "Memory dumps are encrypted, but the log does not name the key. Set it on the host and restart."
    if unknown:
        bad = (
            f"Memory dumps are encrypted to a key that is not registered with this HGS (sha256 {unknown[0][:12]}…). "
            "Register it, or set a registered one on the host."
        )
    return _finding(
        bool(boot.dump_keys) and not unknown,
        "Memory dumps are encrypted to a registered key.",
        bad,
        keys=", ".join(boot.dump_keys) or "not measured",
    )
