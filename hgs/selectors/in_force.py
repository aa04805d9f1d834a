"""What attestation goes by at this moment, read with one small query.

Mode and stamp are read each time, so that a switch of the mode and every change of trust count at once on every node.
Parsed certificates, policies and opened keys are kept in this process for as long as the stamp stays the same
(:mod:`hgs.models.stamped`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from hgs.artefacts import measured_baseline
from hgs.attestation.baseline import Baseline as MeasuredBaseline
from hgs.attestation.ekcert import EkCertificate, parse_ek_certificate
from hgs.attestation.policies import NamedBaseline, NamedDigest, PolicySet
from hgs.models import Baseline, CiPolicy, DumpKey, OperationMode, PolicyVersion, TrustedTpmRoot
from hgs.selectors import keys
from hgs.selectors.configuration import configuration
from hgs.selectors.policies import states


@dataclass(frozen=True)
class Authorities:
    """The TPM makers' certificates that endorsement keys may come from."""

    roots: tuple[EkCertificate, ...] = ()
    intermediates: tuple[EkCertificate, ...] = ()


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
    baselines: Mapping[str, MeasuredBaseline] = field(repr=False)


@dataclass(frozen=True)
class InForce:
    """The mode, and what is trusted."""

    mode: OperationMode
    trusted: Trusted


_kept: Trusted | None = None


def in_force() -> InForce:
    """What counts now. Raises Unavailable while HGS is not initialised or its keys do not open."""
    global _kept
    found = configuration()
    kept = _kept
    if kept is None or kept.stamp != found.trust_stamp:
        # The stamp was read first: what is read now is as new as the stamp, or newer, and is then read once more.
        kept = _kept = _read(found.trust_stamp, kept)
    return InForce(OperationMode(found.mode), kept)


def authorities() -> Authorities:
    """The TPM makers' certificates as they are now, read past what is kept."""
    roots: list[EkCertificate] = []
    intermediates: list[EkCertificate] = []
    for der, is_root in TrustedTpmRoot.objects.values_list("certificate", "is_root"):
        (roots if is_root else intermediates).append(parse_ek_certificate(bytes(der)))
    return Authorities(tuple(roots), tuple(intermediates))


def _read(stamp: UUID, before: Trusted | None) -> Trusted:
    baselines: dict[str, MeasuredBaseline] = {}
    known = before.baselines if before else {}
    policies = {version: _policy_set(version, known, baselines) for version in PolicyVersion}
    return Trusted(
        stamp=stamp,
        authorities=authorities(),
        policies=MappingProxyType(policies),
        exchange_state_keys=tuple(keys.exchange_state_keys()),
        signer=keys.attestation_signer(),
        retire_at=keys.retire_at(),
        baselines=baselines,
    )


def _policy_set(
    version: PolicyVersion, known: Mapping[str, MeasuredBaseline], read: dict[str, MeasuredBaseline]
) -> PolicySet:
    """The enabled artefacts of one version; what was parsed before under the same digest is taken over."""
    rows = Baseline.objects.filter(is_enabled=True, policy_version=version)
    named = []
    for name, digest, content in rows.values_list("name", "digest", "content"):
        read[digest] = known.get(digest) or read.get(digest) or measured_baseline(bytes(content))
        named.append(NamedBaseline(name, read[digest]))
    return PolicySet(
        states=states(),
        baselines=tuple(named),
        ci_policies=_digests(CiPolicy, version),
        dump_keys=_digests(DumpKey, version),
    )


def _digests(model: type[CiPolicy] | type[DumpKey], version: PolicyVersion) -> tuple[NamedDigest, ...]:
    rows = model.objects.filter(is_enabled=True, policy_version=version)
    return tuple(NamedDigest(name, digest) for name, digest in rows.values_list("name", "digest"))
