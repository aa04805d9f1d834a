"""The built-in policies (interface; see below)."""
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hgs.attestation.baseline import Baseline


class PolicyState(StrEnum):
    """Locked: enabled, and cannot be disabled."""

    DISABLED = "disabled"
    ENABLED = "enabled"
    LOCKED = "locked"


@dataclass(frozen=True)
class NamedBaseline:
    """A registered TPM baseline."""

    name: str
    baseline: Baseline


@dataclass(frozen=True)
class NamedDigest:
    """A registered code-integrity policy or dump key: name and SHA-256, 64 lower-case hex digits."""

    name: str
    digest: str


@dataclass(frozen=True)
class PolicySet:
    """Everything an HGS administrator has set. ``states``: built-in policy name -> state (defaults where absent)."""

    states: Mapping[str, PolicyState] = field(default_factory=dict)
    baselines: tuple[NamedBaseline, ...] = ()
    ci_policies: tuple[NamedDigest, ...] = ()
    dump_keys: tuple[NamedDigest, ...] = ()
