"""A new pair of guardian keys, from its making to the end of the old one, with machines that run all the while."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpx2
import pytest

from hgs.wire.kps import METADATA_PATH
from tests.main_job.conftest import Fabric
from tests.main_job.test_restore import gf_hgs, machine

pytestmark = pytest.mark.fabric
PATIENCE = 180.0
"""Seconds: HGS and the portal tell each other what changed every minute or two."""


def tenant(fabric: Fabric, *arguments: str) -> str:
    done = fabric.gf("tenant", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def keys(fabric: Fabric) -> dict[str, str]:
    """Id -> SHA-256 of the certificate."""
    rows = json.loads(gf_hgs(fabric, "key", "list", "--output", "json"))
    return {row["id"]: row["fingerprint"] for row in rows}


def named(fabric: Fabric) -> list[dict[str, Any]]:
    """What of the tenant's still names an older guardian."""
    found: list[dict[str, Any]] = fabric.rest("tenant", "key-rollover/")["objects"]
    return found


def kept_by_the_fabric(fabric: Fabric, of: Iterable[str]) -> list[dict[str, Any]]:
    """What would not open without these keys, by the fabric's own word."""
    rows = json.loads(gf_hgs(fabric, "key", "dependents", *of, "--output", "json"))
    return [row for row in rows if row["source"] == "fabric" or row["name"]]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(1)


def import_guardian(fabric: Fabric) -> None:
    url = next(
        line.split("=", 1)[1]
        for line in (fabric.var / "env" / "host.env").read_text().splitlines()
        if line.startswith("HGS_URL=")
    )
    (fabric.tenant_folder / "metadata-again.xml").write_bytes(httpx2.get(url + METADATA_PATH).content)
    fingerprint = json.loads(gf_hgs(fabric, "show", "--output", "json"))["communications_fingerprint"]
    tenant(fabric, "guardian", "import", "metadata-again.xml", "--name", "hgs", "--fingerprint", fingerprint)


def test_everything_moves_to_the_new_pair_and_the_old_one_is_removed(fabric: Fabric) -> None:
    old, states = keys(fabric), machine(fabric)["state"]
    gf_hgs(fabric, "key", "new-pair", "--primary")
    until(lambda: any(item["name"] == "web01" for item in named(fabric)))

    import_guardian(fabric)
    tenant(fabric, "rollover", "download", "-o", "rollover.zip", "--force")
    tenant(
        fabric, "key-protector", "regrant", "rollover.zip", "--owner", "owner.guardian", "--passphrase-file",
        "owner.passphrase", "--guardian", "hgs", "-o", "rollover-done.zip", "--force",
    )  # fmt: skip
    tenant(fabric, "rollover", "upload", "rollover-done.zip", "--wait")
    assert named(fabric) == []
    assert machine(fabric)["state"] == states, "moving to the new pair stops no machine"

    identifier = machine(fabric)["id"]
    until(lambda: not kept_by_the_fabric(fabric, old))
    # Machines that were removed since are known to the log alone, and whoever removes the pair has to say so.
    for key in old:
        gf_hgs(fabric, "key", "disable", key, "--force")
    gf_hgs(fabric, "key", "remove", *old, "--force")
    assert not set(keys(fabric)) & set(old)

    tenant(fabric, "vm", "stop", "web01", "--wait")
    tenant(fabric, "vm", "start", "web01", "--wait")
    assert machine(fabric)["state"] == "running"
    newest = json.loads(gf_hgs(fabric, "releases", "--output", "json"))[0]
    assert newest["result"] == "released"
    assert newest["vm"] == identifier
