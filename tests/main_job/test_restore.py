"""The restore drill with a whole fabric: HGS is lost, database and master key; out of its file the same VM starts."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.main_job.conftest import ROOT, Fabric

pytestmark = pytest.mark.fabric
PASSPHRASE = "eight words that nobody else would think of\n"
STOP_HGS = "from portal.embedded import plan, processes; assert processes.stop(plan.hgs())"


def run(fabric: Fabric, *command: str, **more: str) -> str:
    """A command on a machine of the fabric."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**fabric.environment, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def gf_hgs(fabric: Fabric, *arguments: str) -> str:
    """``gf hgs`` on the HGS node."""
    return run(fabric, "-c", "from portal.cli import main; main()", "hgs", *arguments, GF_ROLE="hgs")


def attest(fabric: Fabric, host: str) -> None:
    """The host attests now, whatever certificate it has."""
    token = str(fabric.var / "hosts" / host / "token")
    run(
        fabric,
        "-c",
        "from portal.cli import main; main()",
        "host",
        "attest",
        host,
        GF_ROLE="host",
        HOST_TOKEN_FILE=token,
    )


def machine(fabric: Fabric) -> dict[str, Any]:
    rows: list[dict[str, Any]] = fabric.rest("tenant", "virtual-machines/")["results"]
    return next(row for row in rows if row["name"] == "web01")


def lose_hgs(fabric: Fabric) -> None:
    """The node is gone: its database, and the master key that nobody had written down."""
    run(fabric, "-c", STOP_HGS)
    for path in (fabric.var / "hgs").glob("hgs.sqlite3*"):
        path.unlink()
    assert not list((fabric.var / "hgs").glob("*.sqlite3"))
    settings = dict(line.split("=", 1) for line in (fabric.var / "env" / "hgs.env").read_text().splitlines() if line)
    master_key = Path(settings["HGS_MASTER_KEY_FILE"])
    before = master_key.read_text()
    master_key.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    assert master_key.read_text() != before


def test_the_same_machine_starts_on_an_hgs_out_of_its_file(fabric: Fabric, tmp_path: Path) -> None:
    passphrase, path = tmp_path / "passphrase", tmp_path / "hgs-state"
    passphrase.write_text(PASSPHRASE)
    given = ("--passphrase-file", str(passphrase))
    before, metadata = machine(fabric), json.loads(gf_hgs(fabric, "show", "--output", "json"))
    gf_hgs(fabric, "export-state", "-o", str(path), *given)
    stopped = fabric.gf("tenant", "vm", "stop", "web01", "--wait")
    assert stopped.returncode == 0, stopped.stderr

    lose_hgs(fabric)
    assert "New attestation signer" in gf_hgs(fabric, "import-state", str(path), *given)
    run(fabric, "-m", "portal.embedded", "up")
    again = json.loads(gf_hgs(fabric, "show", "--output", "json"))
    assert again["encryption_fingerprint"] == metadata["encryption_fingerprint"]
    password = str(fabric.var / "people" / "hgs-administrator" / "password")
    gf_hgs(fabric, "admin", "add", "hgs-admin")  # people are not in the file
    gf_hgs(fabric, "admin", "password", "hgs-admin", "--password-file", password)

    for host in ("hv01", "hv02"):
        attest(fabric, host)
    started = fabric.gf("tenant", "vm", "start", "web01", "--wait")
    assert started.returncode == 0, started.stderr
    assert (machine(fabric)["id"], machine(fabric)["state"]) == (before["id"], "running")
    releases = json.loads(gf_hgs(fabric, "releases", "--output", "json"))
    assert releases[0]["result"] == "released"
    assert "whole" in gf_hgs(fabric, "verify-log")
