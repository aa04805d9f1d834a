"""What a change of the policies would do to TPM hosts: who would pass no more, and who would pass then."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType

from hgs.artefacts import measured_baseline
from hgs.attestation.policies import NamedBaseline, NamedDigest, PolicySet, PolicyState
from hgs.models import Baseline, CiPolicy, DumpKey, PolicyVersion
from hgs.policy import Action, may
from hgs.selectors.in_force import in_force, named_ci_policy
from hgs.selectors.policies import switchable
from hgs.selectors.stored_boots import Expectation, HostForecast, PolicySets, evidence_of, judge_host, tpm_hosts
from portal.kernel.actor import Actor
from portal.kernel.policy import require

Change = Callable[[PolicyVersion, PolicySet], PolicySet]


@dataclass(frozen=True)
class HostChange:
    """A host that would fare otherwise."""

    name: str
    before: HostForecast
    after: HostForecast


@dataclass(frozen=True)
class PolicyForecast:
    """What a change would do. ``unknown``: names of hosts that cannot be judged, with or without it."""

    judged: int
    changes: tuple[HostChange, ...]
    unknown: tuple[str, ...]


def policy_forecast(actor: Actor, name: str, enabled: bool) -> PolicyForecast:
    """What enabling or disabling a built-in policy would do.

    Raises NotFound for an unknown name, Conflict for a locked policy.
    """
    require(may(actor, Action.READ))
    policy = switchable(name, enabled)
    state = PolicyState.ENABLED if enabled else PolicyState.DISABLED
    return _forecast(lambda _, before: replace(before, states={**before.states, policy.name: state}))


def artefact_forecast(actor: Actor, artefact: Baseline | CiPolicy | DumpKey, enabled: bool) -> PolicyForecast:
    """What enabling an artefact, or disabling or removing it, would do."""
    require(may(actor, Action.READ))

    def change(version: PolicyVersion, before: PolicySet) -> PolicySet:
        return _with_artefact(before, artefact, enabled) if version == artefact.policy_version else before

    return _forecast(change)


def _with_artefact(before: PolicySet, artefact: Baseline | CiPolicy | DumpKey, enabled: bool) -> PolicySet:
    if isinstance(artefact, Baseline):
        others = tuple(one for one in before.baselines if one.name != artefact.name)
        own = (NamedBaseline(artefact.name, measured_baseline(bytes(artefact.content))),) if enabled else ()
        return replace(before, baselines=(*others, *own))
    if isinstance(artefact, CiPolicy):
        ci_policies = tuple(one for one in before.ci_policies if one.name != artefact.name)
        added = (named_ci_policy(artefact),) if enabled else ()
        return replace(before, ci_policies=(*ci_policies, *added))
    dump_keys = tuple(one for one in before.dump_keys if one.name != artefact.name)
    added = (NamedDigest(artefact.name, artefact.digest),) if enabled else ()
    return replace(before, dump_keys=(*dump_keys, *added))


def _forecast(change: Change) -> PolicyForecast:
    trusted = in_force().trusted
    before: PolicySets = trusted.policies
    after: PolicySets = MappingProxyType({version: change(version, policies) for version, policies in before.items()})
    changes, unknown = [], []
    hosts = tpm_hosts()
    for host in hosts:
        evidence = evidence_of(host, trusted.authorities)
        now, then = judge_host(evidence, before), judge_host(evidence, after)
        if then.expectation is Expectation.UNKNOWN:
            unknown.append(host.name)
        elif now.expectation is not then.expectation:
            changes.append(HostChange(host.name, now, then))
    return PolicyForecast(len(hosts) - len(unknown), tuple(changes), tuple(unknown))
