"""One whole fabric for the tests of the main job: what `make up` starts, in a folder and on ports of its own."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
HGS_SECRETS = {"HGS_MASTER_KEY", "HGS_FABRIC_TOKEN"}
# What a test run sets for itself, or a person's own fabric, must not reach this one.
LEFT_OUT = {"GF_ROLE", "GF_VAR_DIR", "DATABASE_URL", "SECRET_KEY", "TOKEN_PEPPERS", *HGS_SECRETS}
ACCESS_PORTS = (45000, 46999)  # not those of a fabric that somebody runs beside the tests


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Fabric:
    """A running fabric. `told` is what the first run printed."""

    var: Path
    environment: dict[str, str]
    portal_url: str
    told: str

    @property
    def tenant_folder(self) -> Path:
        return self.var / "people" / "tenant"

    def password(self, user: str) -> str:
        users: dict[str, dict[str, str]] = json.loads((self.var / "credentials.json").read_text())["users"]
        return users[user]["password"]

    def gf(self, person: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `gf` command in the name of a portal user."""
        folder = self.var / "people" / person
        own = {"XDG_CONFIG_HOME": f"{folder}/config", "GF_URL": self.portal_url, "GF_TOKEN_FILE": f"{folder}/token"}
        return subprocess.run(
            [str(Path(sys.executable).with_name("gf")), *arguments],
            env={**self.environment, **own},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def rest(self, person: str, path: str) -> Any:
        token = (self.var / "people" / person / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx2.get(f"{self.portal_url}/api/v1/{path}", headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def up(self) -> str:
        """What `make up` does after it has prepared the machine."""
        self._run("portal.embedded", "up")
        return self._run("tenants.firstrun")

    def down(self) -> None:
        self._run("portal.embedded", "down")

    def _run(self, *module: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    var = tmp_path_factory.mktemp("fabric")
    cache = ROOT / "var" / "cache"  # a fetched kernel serves every run
    cache.mkdir(parents=True, exist_ok=True)
    (var / "cache").symlink_to(cache)
    portal_port, hgs_port = free_port(), free_port()
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    first = ACCESS_PORTS[0] + os.getpid() % 100 * 20
    ports = {"PORTAL_PORT": portal_port, "HGS_PORT": hgs_port, "ACCESS_PORT_FIRST": first}
    ports["ACCESS_PORT_LAST"] = min(first + 19, ACCESS_PORTS[1])
    environment = {**kept, "GF_VAR_DIR": str(var), **{name: str(port) for name, port in ports.items()}}
    idle = Fabric(var, environment, f"http://127.0.0.1:{portal_port}", "")
    try:
        yield Fabric(var, environment, idle.portal_url, idle.up())
    finally:
        idle.down()


# For one module: its loop would keep later tests of the same process from opening their database.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGUMENTS)
        yield started
        started.close()
