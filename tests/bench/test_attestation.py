"""The benchmark still runs, and what it measures is right: it refuses to report anything else."""

import json

import pytest

from bench.attestation.__main__ import main

SMALL = ["--hosts", "2", "--attestations", "1", "--rounds", "2", "--workers", "1", "--seconds", "0.002"]


def test_it_ends_with_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SMALL) == 0
    *_, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert found["attestations"] == 2
    assert len(found["rounds_per_second"]) == 2
    assert found["signer_bits"] == 2048
    assert all(found[name] > 0 for name in ("attestations_per_second", "quotes_per_second", "replays_per_second"))
    assert found["cryptography_ms"] < found["server_cpu_ms"] + found["client_cpu_ms"]
