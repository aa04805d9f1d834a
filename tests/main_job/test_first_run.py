"""The main job, end to end: what `make up` promises is so, and what must fail failed."""

import pytest

from tests.main_job.conftest import Fabric

pytestmark = pytest.mark.fabric


def test_healthy_hosts_are_attested_and_the_tampered_one_is_refused_check_by_check(fabric: Fabric) -> None:
    hosts = {row["name"]: row for row in fabric.rest("fabric-admin", "hosts/")["results"]}
    assert {name: row["attestation"] for name, row in hosts.items()} == {
        "hv01": "attested", "hv02": "attested", "hv03": "refused",
    }  # fmt: skip
    assert "hv03: refused (InsecureHostConfiguration)" in fabric.told
    assert "Secure Boot is off" in fabric.told
    assert "is not registered with this HGS" in fabric.told


def test_the_machine_runs_with_its_own_host_key(fabric: Fabric) -> None:
    machine = next(row for row in fabric.rest("tenant", "virtual-machines/")["results"] if row["name"] == "web01")
    assert machine["state"] == "running"
    assert machine["last_heartbeat_at"]
    assert "logged in as root on “web01”; the host key is the one from the shielding data file" in fabric.told


def test_what_must_fail_failed_with_its_reason(fabric: Fabric) -> None:
    assert "The disk is not the one that was signed: its operating system partition differs in bytes" in fabric.told
    assert "nothing of it is left on any host" in fabric.told
    assert "hv03 asks for a key: HGS gives this host no keys (HealthCertificateException)" in fabric.told
    refused = fabric.gf("tenant", "vm", "console", "web01")
    assert refused.returncode == 1
    assert "Console is off: this VM is Shielded" in refused.stderr


def test_a_second_run_changes_nothing_that_exists(fabric: Fabric) -> None:
    def everything() -> dict[str, list[tuple[str, str]]]:
        lists = ("virtual-machines/", "shielding-data/", "networks/", "template-disks/")
        found = {path: fabric.rest("tenant", path)["results"] for path in lists}
        found["hosts/"] = fabric.rest("fabric-admin", "hosts/")["results"]
        return {path: sorted((row["id"], row.get("state", "")) for row in rows) for path, rows in found.items()}

    before = everything()
    fabric.up()
    assert everything() == before
