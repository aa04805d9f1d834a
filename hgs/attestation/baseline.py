"""TPM baselines (interface): ``baseline_from_log(data: bytes, alg) -> Baseline``, ``Baseline.to_json/from_json``."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Baseline:
    """Filled in shortly."""


def baseline_from_log(data: bytes) -> Baseline:
    """Read a baseline from a host's boot log (.tcglog)."""
    raise NotImplementedError
