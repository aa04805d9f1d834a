"""The benchmark of disks still runs, and ends with all of its figures."""

import json

import pytest

from bench.disks.__main__ import main

SMALL = ["--mebibytes", "64", "--sparse-gibibytes", "1", "--data-mebibytes", "64", "--rounds", "1"]


def test_it_ends_with_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SMALL) == 0
    *_, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert found["hash_mb_per_second"]["ours"] > 0
    assert len(found["provision_seconds"]) == len(found["qemu_img_luks_seconds"]) == 1
    assert 0 < found["provision_disk_seconds"][0] < found["provision_seconds"][0]
    assert found["memory_bytes"] > 0
    assert set(found["goals"]) >= {"of_hashlib", "sparse", "provisioning", "memory"}
