"""What each mode needs to be registered before a host can pass."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from django.conf import settings

from hgs import kerberos
from hgs.attestation.policies import BUILT_IN_POLICIES
from hgs.attestation.policies import PolicyState as BuiltInState
from hgs.models import Baseline, CiPolicy, HostGroup, HostKey, PolicyState, PolicyVersion, TpmHost
from hgs.trace.findings import (
    DOMAIN_MODE,
    HOST_KEY_MODE,
    TPM_MODE,
    Diagnostic,
    Facts,
    Told,
    counted,
    failed,
    named,
    passed,
    warning,
)

_SUBMIT: Final = "Let the fabric submit it, and approve it: gf hgs approvals"


def tpm_hosts(_facts: Facts) -> Iterable[Told]:
    """There is a host to attest."""
    count = TpmHost.objects.count()
    if count:
        yield passed(f"Registered: {counted(count, 'TPM host')}.")
    else:
        yield failed("No TPM host is registered, so no host can attest.", f"On a host: gf host identity. {_SUBMIT}")


def versions(_facts: Facts) -> Iterable[Told]:
    """Every host finds a baseline and a CI policy of its own policy version."""
    complete = True
    for version in PolicyVersion:
        hosts = list(TpmHost.objects.filter(policy_version=version).values_list("name", flat=True))
        for noun, model in (("baseline", Baseline), ("CI policy", CiPolicy)):
            enabled = model._default_manager.filter(policy_version=version, is_enabled=True)
            if hosts and not enabled.exists():
                complete = False
                yield failed(
                    f"Hosts attest by policies of {version.label} ({named(hosts)}), "
                    f"and no {noun} of {version.label} is enabled.",
                    f"Register the {noun} for {version.label}, or the hosts for another version. {_SUBMIT}",
                )
    if complete:
        yield passed("Baselines and CI policies are there for the policy version of every host.")


def policies(_facts: Facts) -> Iterable[Told]:
    """No protective policy was turned off."""
    off = dict(PolicyState.objects.filter(is_enabled=False).values_list("name", "changed_by"))
    weakened = [
        policy.name for policy in BUILT_IN_POLICIES if policy.name in off and policy.default is BuiltInState.ENABLED
    ]
    if weakened:
        yield warning(
            f"Policies that protect guests are disabled: {named(weakened, most=15)}.",
            "Enable them, after a look at which hosts that concerns: gf hgs policies enable NAME --dry-run",
        )
    else:
        yield passed("No policy that is on by default is disabled.")


def audit_policies(_facts: Facts) -> Iterable[Told]:
    """CI policies refuse what they do not allow."""
    enabled = CiPolicy.objects.filter(is_enabled=True)
    audited = [item.name for item in enabled.defer("content") if item.facts.get("Mode") == "audit"]
    if audited:
        yield warning(
            f"CI policies in audit mode are accepted: {named(audited)}. Hosts that run one load any code.",
            "Deploy them enforced, register those, and disable these: gf hgs ci-policies disable NAME",
        )
    elif enabled.exists():
        yield passed("Every CI policy that is accepted is enforced.")


def host_groups(_facts: Facts) -> Iterable[Told]:
    """There is a group whose members may attest."""
    count = HostGroup.objects.count()
    if count:
        yield passed(f"Registered: {counted(count, 'host group')}.")
    else:
        yield failed("No host group is registered, so no host can attest.", "gf hgs host-group add NAME SID")


def keytab(_facts: Facts) -> Iterable[Told]:
    """Tickets can be checked, by HGS alone."""
    problem = kerberos.problem()
    if problem is not None:
        yield failed(problem.message, problem.advice)
    elif settings.HGS_KEYTAB and Path(settings.HGS_KEYTAB).stat().st_mode & 0o077:
        yield warning(
            f"Others than HGS can read the keytab {settings.HGS_KEYTAB}: they can make tickets that HGS accepts.",
            f"chmod 600 {settings.HGS_KEYTAB}",
        )
    else:
        yield passed("Kerberos tickets can be checked.")


def host_keys(_facts: Facts) -> Iterable[Told]:
    """There is a key whose holder may attest."""
    count = HostKey.objects.count()
    if count:
        yield passed(f"Registered: {counted(count, 'host key')}.")
    else:
        yield failed("No host key is registered, so no host can attest.", "gf hgs host-key add NAME FILE")


DIAGNOSTICS: Final = (
    Diagnostic("tpm-hosts", "TPM hosts", "Mode", tpm_hosts, TPM_MODE),
    Diagnostic("policy-versions", "Policy versions", "Mode", versions, TPM_MODE),
    Diagnostic("policies", "Policies", "Mode", policies, TPM_MODE),
    Diagnostic("audit-policies", "CI policies", "Mode", audit_policies, TPM_MODE),
    Diagnostic("host-groups", "Host groups", "Mode", host_groups, DOMAIN_MODE),
    Diagnostic("keytab", "Keytab", "Mode", keytab, DOMAIN_MODE),
    Diagnostic("host-keys", "Host keys", "Mode", host_keys, HOST_KEY_MODE),
)
