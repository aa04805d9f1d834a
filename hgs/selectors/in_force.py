"""What attestation goes by at this moment, read with one small query.

Mode and stamp are read each time, so that a switch of the mode and every change of trust count at once on every node.
Parsed certificates, policies and opened keys are kept in this process for as long as the stamp stays the same
(:mod:`hgs.models.stamped`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar
from uuid import UUID

from django.db.models import QuerySet

from hgs.artefacts import measured_baseline
from hgs.attestation.baseline import Baseline as MeasuredBaseline
from hgs.attestation.ci_policy import PolicyRules, parse_ci_policy
from hgs.attestation.ekcert import EkCertificate, parse_ek_certificate
from hgs.attestation.policies import NamedBaseline, NamedDigest, PolicySet
from hgs.models import Baseline, CiPolicy, DumpKey, OperationMode, PolicyVersion, ServiceConfiguration, TrustedTpmRoot
from hgs.selectors import keys
from hgs.selectors.configuration import not_initialised
from hgs.selectors.policies import states
from portal.kernel.prepared import Prepared

_M = TypeVar("_M", Baseline, CiPolicy, DumpKey)


@dataclass(frozen=True)
class Authorities:
    """The TPM makers' certificates that endorsement keys may come from."""

    roots: tuple[EkCertificate, ...] = ()
    intermediates: tuple[EkCertificate, ...] = ()


@dataclass(frozen=True)
class _Parsed:
    """Contents of enabled artefacts, read once: baselines by digest, CI policies by name and digest."""

    baselines: dict[str, MeasuredBaseline] = field(default_factory=dict)
    ci_policies: dict[tuple[str, str], NamedDigest] = field(default_factory=dict)


@dataclass(frozen=True)
class Trusted:
    """What is kept under one stamp. ``policies``: one set for each version, of enabled artefacts alone.

    ``retire_at``: when a signer that was superseded has certified nothing any more that still counts; None without one.
    """

    stamp: UUID
    authorities: Authorities
    policies: Mapping[PolicyVersion, PolicySet]
    exchange_state_keys: tuple[bytes, ...] = field(repr=False)
    signer: keys.KeyPair
    retire_at: datetime | None
    parsed: "_Parsed" = field(repr=False)


@dataclass(frozen=True)
class InForce:
    """The mode, and what is trusted."""

    mode: OperationMode
    trusted: Trusted


_NOW: Final = Prepared(lambda: ServiceConfiguration.objects.values_list("mode", "trust_stamp"))
_kept: Trusted | None = None


def in_force() -> InForce:
    """What counts now. Raises Unavailable while HGS is not initialised or its keys do not open."""
    global _kept
    found = _NOW.first()
    if found is None:
        raise not_initialised()
    mode, stamp = found
    kept = _kept
    if kept is None or kept.stamp != stamp:
        # The stamp was read first: what is read now is as new as the stamp, or newer, and is then read once more.
        kept = _kept = _read(stamp, kept)
    return InForce(OperationMode(mode), kept)


def authorities() -> Authorities:
    """The TPM makers' certificates as they are now, read past what is kept."""
    roots: list[EkCertificate] = []
    intermediates: list[EkCertificate] = []
    for der, is_root in TrustedTpmRoot.objects.values_list("certificate", "is_root"):
        (roots if is_root else intermediates).append(parse_ek_certificate(bytes(der)))
    return Authorities(tuple(roots), tuple(intermediates))


def _read(stamp: UUID, before: Trusted | None) -> Trusted:
    parsed, known = _Parsed(), before.parsed if before else _Parsed()
    policies = {version: _policy_set(version, known, parsed) for version in PolicyVersion}
    return Trusted(
        stamp=stamp,
        authorities=authorities(),
        policies=MappingProxyType(policies),
        exchange_state_keys=tuple(keys.exchange_state_keys()),
        signer=keys.attestation_signer(),
        retire_at=keys.retire_at(),
        parsed=parsed,
    )


def _policy_set(version: PolicyVersion, known: _Parsed, parsed: _Parsed) -> PolicySet:
    """The enabled artefacts of one version; what was parsed before is taken over into ``parsed``."""
    return PolicySet(
        states=states(),
        baselines=tuple(_baselines(version, known, parsed)),
        ci_policies=tuple(_ci_policies(version, known, parsed)),
        dump_keys=tuple(NamedDigest(row.name, row.digest) for row in _enabled(DumpKey, version)),
    )


def _enabled(model: type[_M], version: PolicyVersion) -> QuerySet[_M]:
    return model._default_manager.filter(is_enabled=True, policy_version=version)


def _baselines(version: PolicyVersion, known: _Parsed, parsed: _Parsed) -> Iterator[NamedBaseline]:
    for row in _enabled(Baseline, version).iterator():
        found = known.baselines.get(row.digest) or measured_baseline(bytes(row.content))
        parsed.baselines[row.digest] = found
        yield NamedBaseline(row.name, found)


def _ci_policies(version: PolicyVersion, known: _Parsed, parsed: _Parsed) -> Iterator[NamedDigest]:
    for row in _enabled(CiPolicy, version).iterator():
        key = (row.name, row.digest)
        parsed.ci_policies[key] = known.ci_policies.get(key) or named_ci_policy(row)
        yield parsed.ci_policies[key]


def named_ci_policy(policy: CiPolicy) -> NamedDigest:
    """A registered CI policy as the attestation core knows it; without rules where its body cannot be read."""
    found = parse_ci_policy(bytes(policy.content))
    rules = PolicyRules(found.document) if found.document else None
    return NamedDigest(policy.name, policy.digest, found.header.audit, rules.refuses if rules else None)
