"""HGS alone does its whole work: its own settings, its own database, its own people, and hosts that attest."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.wire import hgsa
from tests.hgs.attestation import tpm_hosts
from tests.hgs.attestation.boots import CI_POLICY, Boot
from tests.hgs.service.hosts import Host, make_tpm
from tests.hgs.service.node import Node

APPLICATIONS = """
import os, json
os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
import django
django.setup()
from django.conf import settings
print(json.dumps([settings.INSTALLED_APPS, list(settings.DATABASES), settings.CACHES["default"]["BACKEND"]]))
"""


@pytest.fixture(autouse=True)
def clock() -> None:
    """The node has a clock of its own."""


@dataclass
class Response:
    status_code: int
    content: bytes
    headers: dict[str, str]


@dataclass
class Wire:
    """What a host needs of a client, over a real socket."""

    url: str

    def post(self, path: str, data: bytes, content_type: str) -> Response:
        request = urllib.request.Request(self.url + path, data, {"Content-Type": content_type}, method="POST")  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return Response(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            return Response(error.code, error.read(), dict(error.headers))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("hgs"))
    node.gf("init", "--trust-tpm", "--name", "contoso")
    node.start()
    yield node
    node.stop()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(tpm_hosts, "NOW", datetime.now(UTC))
    identity = rsa.generate_private_key(65537, 2048)
    return Host("hv01", make_tpm(identity), tpm_hosts.Manufacturer(), Boot(identity=identity.public_key()))


def test_nothing_of_the_portal_is_installed_and_no_broker_is_known(node: Node) -> None:
    assert not {"REDIS_URL", "DATABASE_URL", "TOKEN_PEPPERS"} & set(node.environment)
    done = node.python("-c", APPLICATIONS)
    assert done.returncode == 0, done.stderr
    installed, databases, cache = json.loads(done.stdout)
    assert sorted(name for name in installed if not name.startswith(("django.", "whitenoise"))) == [
        "csp",
        "hgs",
        "portal.accounts",
        "portal.kernel",
    ]
    assert (databases, cache) == (["default"], "django.core.cache.backends.locmem.LocMemCache")


def test_people_are_added_and_a_host_is_introduced_and_attests(node: Node, host: Host, tmp_path: Path) -> None:
    administrator = node.gf_json("admin", "add", "ann")
    reviewer = node.gf_json("admin", "add", "rob", "--reviewer")
    assert (administrator["role"], reviewer["role"]) == ("administrator", "reviewer")

    wire: Any = Wire(node.url)
    assert host.begin(wire).message == hgsa.UnauthorizedErrorReply(False)
    (tmp_path / "root.der").write_bytes(host.manufacturer.root)
    node.gf("tpm-root", "add", str(tmp_path / "root.der"))
    files = {"host": host.identity_file, "baseline": host.log, "ci-policy": CI_POLICY}
    for kind, content in files.items():
        (tmp_path / kind).write_bytes(content)
        node.gf("submit", kind, "hv01" if kind == "host" else f"Lab {kind} (2026)", str(tmp_path / kind))
    node.gf("approve", *(row["id"] for row in node.gf_json("approvals")))

    reply = host.attest(wire)
    assert (reply.status, reply.headers["Attestation-Status"]) == (200, "Passed")
    assert reply.certificate
    assert node.gf_json("attestations")[0]["status"] == "Passed"


def test_the_mode_is_rehearsed_switched_and_in_force_in_the_running_service(node: Node, host: Host) -> None:
    told = node.gf_json("set", "--trust-host-key", "--dry-run")
    assert all(row["expectation"] == "fails" and "host-key add" in row["advice"] for row in told)
    assert json.loads(_info(node))["OperationMode"] == 1
    assert "Host key mode now" in node.gf("set", "--trust-host-key")
    assert json.loads(_info(node))["OperationMode"] == 3
    wire: Any = Wire(node.url)
    assert host.begin(wire).status == 409
    node.gf("set", "--trust-tpm")
    assert json.loads(_info(node))["OperationMode"] == 1
    assert "whole" in node.gf("verify-log")


def _info(node: Node) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(node.url + "/Attestation/getinfo", timeout=30) as answer:
        content: bytes = answer.read()
    return content
