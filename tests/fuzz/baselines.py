"""Baselines: reference logs, and the stored forms of baselines and verdicts."""

import json
from contextlib import suppress

from hgs.attestation.baseline import Baseline, baseline_of, boot_from_reference_log, compare, reference_warnings
from hgs.attestation.errors import AttestationError
from hgs.attestation.verdict import Verdict
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; a baseline survives storage and matches the boot it was taken from."""
    with suppress(AttestationError):
        boot = boot_from_reference_log(data)
        baseline = baseline_of(boot)
        assert compare(baseline, boot) == ()
        assert Baseline.from_json(json.loads(json.dumps(baseline.to_json()))) == baseline
        reference_warnings(boot)
    with suppress(ValueError, RecursionError):
        stored = json.loads(data)
        with suppress(AttestationError):
            found = Baseline.from_json(stored)
            assert Baseline.from_json(found.to_json()) == found
        with suppress(AttestationError):
            verdict = Verdict.from_json(stored)
            assert Verdict.from_json(verdict.to_json()) == verdict


if __name__ == "__main__":
    run("baselines")
