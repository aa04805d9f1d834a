"""A real domain (Samba) and a real HGS node in Active Directory mode, started once for all tests of this folder."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fabric.hyperv.kerberos import ticket_source
from hgs.client import AttestationClient, TicketSource
from portal.embedded.domain import Accounts, Domain
from tests.hgs.service.node import Node

START_SECONDS = 60.0
CLOCK_SKEW = 2
"""Seconds by which clocks may differ in this domain: what is older is stale."""


@dataclass
class DomainNode(Node):
    """An HGS that checks tickets of the domain."""

    kerberos: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.kerberos}

    def last_attestation(self) -> Any:
        rows = self.gf_json("attestations", "--limit", "1")
        return self.gf_json("attestations", rows[0]["id"])


@dataclass(frozen=True)
class Realm:
    """The running domain: hv01 is in GuardedHosts, hv03 is not, nor is ann; bob is."""

    domain: Domain
    groups: dict[str, str]

    def keytab(self, account: str) -> Path:
        return self.domain.folder / f"{account}.keytab"

    def tickets(self, account: str, service: str = "HTTP/127.0.0.1") -> TicketSource:
        return ticket_source(service, self.keytab(account))


def free_port() -> int:
    """A port free for UDP and TCP on the loopback address."""
    for _ in range(50):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


@pytest.fixture(scope="session")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A domain controller of this test run. Where Samba is not installed the tests are skipped with that reason."""
    pytest.importorskip("gssapi", reason="Python's gssapi is not installed")
    if not (shutil.which("samba") or Path("/usr/sbin/samba").is_file()):
        pytest.skip("Samba is not installed")
    folder = tmp_path_factory.mktemp("domain")
    domain = Domain(folder, "127.0.0.1", free_port(), free_port(), (f"clockskew = {CLOCK_SKEW}",))
    people = ("hv01$", "hv03$", "ann", "bob")
    groups = domain.make(
        Accounts(
            computers={"hv01": [], "hv03": [], "hgs": ["HTTP/127.0.0.1"], "other": ["HTTP/other.guarded.test"]},
            users=["ann", "bob"],
            groups={"GuardedHosts": ["hv01$", "bob"], "Unregistered": ["hv03$"]},
            keytabs={
                **{folder / f"{name.rstrip('$')}.keytab": [name] for name in people},
                folder / "hgs.keytab": ["HTTP/127.0.0.1"],
            },
        )
    )
    with (folder / "samba.log").open("wb") as log:
        process = subprocess.Popen(domain.command, stdout=log, stderr=log, env=domain.environment())
    deadline = time.monotonic() + START_SECONDS
    while not domain.answers():
        assert process.poll() is None, (folder / "samba.log").read_text()
        assert time.monotonic() < deadline, (folder / "samba.log").read_text()
        time.sleep(0.05)
    before = os.environ.get("KRB5_CONFIG")
    os.environ["KRB5_CONFIG"] = str(domain.kerberos_configuration)
    yield Realm(domain, groups)
    if before is None:
        del os.environ["KRB5_CONFIG"]
    else:
        os.environ["KRB5_CONFIG"] = before
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="session")
def node(realm: Realm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DomainNode]:
    """An initialised HGS in Active Directory mode that trusts GuardedHosts."""
    folder = tmp_path_factory.mktemp("hgs")
    kerberos = {
        "KRB5_CONFIG": str(realm.domain.kerberos_configuration),
        "HGS_KEYTAB": str(realm.keytab("hgs")),
        "KRB5RCACHENAME": f"file2:{folder / 'replays'}",
    }
    node = DomainNode(folder, kerberos=kerberos)
    node.gf("init", "--trust-ad", "--name", "lab")
    node.gf("host-group", "add", "Guarded hosts", realm.groups["GuardedHosts"])
    node.start()
    yield node
    node.stop()


@pytest.fixture
def client(node: DomainNode) -> Iterator[AttestationClient]:
    client = AttestationClient(node.url)
    yield client
    client.close()
