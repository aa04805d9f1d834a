"""The benchmark of key releases still runs, and what it measures is right: it refuses to report anything else."""

import json

import pytest

from bench.keys.__main__ import main

SMALL = ["--clients", "2", "--machines", "2", "--releases", "3", "--rounds", "2", "--workers", "1"]
SHORT = ["--seconds", "0.002", "--log-sizes", "300", "600"]


def test_it_ends_with_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, *SHORT]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert found["releases"] == 6
    assert len(found["rounds_per_second"]) == 2
    assert set(found["log_entry_ms"]) == {"300", "600"}
    assert found["private_rsa_ms"] < found["rsa_ms"] < found["release_in_process_ms"]
    assert all(found[name] > 0 for name in ("releases_per_second", "p99_ms", "server_cpu_ms", "log_growth"))
