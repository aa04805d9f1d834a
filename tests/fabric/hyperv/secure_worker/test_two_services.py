"""A host with two HGS, each a process of its own with its own guardian; the owner granted to both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric.hyperv import vm_folder
from fabric.hyperv.config import HgsAddress, HostConfig
from fabric.hyperv.hgs_client import HgsClient
from fabric.hyperv.operations import virtual_machines
from fabric.hyperv.secure_worker.client import SecureWorkerFailed
from fabric.hyperv.spec import VmSpec
from fabric.hyperv.status import host_status
from fabric.hyperv.vm_state import parse_vm_state
from fabric.shielding.pdk import parse_pdk
from hgs.client import FabricClient, KeyProtectionClient
from hgs.keyprotection.guardian import Guardian
from hgs.keyprotection.metadata import parse_metadata
from hgs.keyprotection.protector import verify_protector
from tests.fabric.hyperv.conftest import BootedHost
from tests.fabric.hyperv.secure_worker.conftest import quiet
from tests.hgs.service.node import TOKEN, Node

pytestmark = pytest.mark.tpm


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    with ExitStack() as ends:
        made = []
        for name in ("primary", "fallback"):
            (tmp_path / name).mkdir()
            node = Node(tmp_path / name)
            node.gf("init", "--trust-tpm")
            node.start()
            ends.callback(node.stop)
            made.append(node)
        yield made


def introduce(node: Node, config: HostConfig) -> None:
    authorities = node.folder / "authorities.pem"
    authorities.write_bytes(b"".join(path.read_bytes() for path in sorted(config.tpm_ca.glob("*cert*.pem"))))
    node.gf("tpm-root", "add", str(authorities))
    fabric = FabricClient(node.url, TOKEN)
    fabric.submit("host", config.name, config.state.platform_identifier.read_bytes(), "frank")
    fabric.submit("baseline", "r1", config.state.boot_log.read_bytes())
    fabric.submit("ci-policy", "hosts", config.state.ci_policy.read_bytes())
    fabric.close()
    node.gf("approve", *(row["id"] for row in node.gf_json("approvals")))


def guardian_of(node: Node) -> Guardian:
    client = KeyProtectionClient(node.url)
    try:
        return parse_metadata(client.metadata()).verify("HGS").guardian
    finally:
        client.close()


def signer(config: HostConfig, vm_id: str) -> str:
    """The fingerprint of the guardian that made the VM's present protector."""
    state = parse_vm_state((config.state.virtual_machines / vm_id / vm_folder.STATE).read_bytes())
    wrapping = verify_protector(state.protector).signer
    return hashlib.sha256(wrapping.signing_certificate).hexdigest()


def test_the_fallback_releases_while_the_primary_is_down_and_the_primary_again_afterwards(
    booted: BootedHost, nodes: list[Node], tenant: Any, small_template: Any, spec: VmSpec, tmp_path: Path
) -> None:
    primary, fallback = nodes
    config = replace(booted(), hgs_url=primary.url, fallback=HgsAddress(fallback.url, fallback.url))
    for node in nodes:
        introduce(node, config)
    guardians = [guardian_of(node) for node in nodes]
    pdk = tenant.pdk_for(tmp_path / "web.pdk", small_template.signed, guardians)
    assert len(parse_pdk(pdk.read_bytes()).key_protector.wrappings) == 3
    hgs = HgsClient(config)
    machines = virtual_machines(config, hgs)

    def start() -> None:
        machines.start(spec.id, hgs.health_certificate(), quiet)
        machines.stop(spec.id, force=True)

    certificate = hgs.health_certificate()
    machines.provision(spec, certificate, small_template.raw, small_template.catalog, pdk, quiet)
    start()
    assert signer(config, spec.id) == guardians[0].fingerprint
    port = primary.port
    primary.stop()
    start()
    assert signer(config, spec.id) == guardians[1].fingerprint
    status = host_status(config)
    assert (status["IsFallbackInUse"], status["certificate_by"]) == (True, "fallback")
    primary.start(port)
    assert hgs.attest("primary-retry").service == "primary"
    start()
    assert signer(config, spec.id) == guardians[0].fingerprint
    assert [row["result"] for row in fallback.gf_json("releases")] == ["released"]
    assert [row["result"] for row in primary.gf_json("releases")] == ["released"] * 3


def test_what_an_administrator_of_hgs_permits_lets_a_vm_start_while_hgs_is_down(
    booted: BootedHost, nodes: list[Node], tenant: Any, small_template: Any, spec: VmSpec, tmp_path: Path
) -> None:
    node = nodes[0]
    config = replace(booted(), hgs_url=node.url)
    introduce(node, config)
    node.gf("offline-starts", "1")
    pdk = tenant.pdk_for(tmp_path / "web.pdk", small_template.signed, [guardian_of(node)])
    hgs = HgsClient(config)
    machines = virtual_machines(config, hgs)

    def start() -> dict[str, Any]:
        try:
            return machines.start(spec.id, hgs.certificate_if_any_answers(), quiet)
        finally:
            machines.stop(spec.id, force=True)

    certificate = hgs.health_certificate()
    machines.provision(spec, certificate, small_template.raw, small_template.catalog, pdk, quiet)
    assert "offline_starts_left" not in start()
    assert host_status(config)["offline_starts"] == {spec.id: 1}
    port = node.port
    node.stop()
    assert start()["offline_starts_left"] == 0
    with pytest.raises(SecureWorkerFailed) as caught:
        start()
    assert caught.value.code == "offline-used-up"
    node.start(port)
    node.gf("offline-starts", "0")
    assert "offline_starts_left" not in start()
    assert host_status(config)["offline_starts"] == {}
