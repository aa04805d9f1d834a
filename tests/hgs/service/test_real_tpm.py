"""Hosts with real TPMs against an HGS process of its own, over HTTP: the whole of its work."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from fabric.hyperv.agent import keep_profile
from fabric.hyperv.attestation import Attestor
from fabric.hyperv.config import Capacity, HostConfig
from fabric.hyperv.measured_boot import boot_host
from fabric.hyperv.state import HostState
from fabric.hyperv.storage import LibraryAddress
from fabric.hyperv.tpm import identity_decrypt
from hgs.attestation.healthcert import CertificateKind, TrustedSigner, verify_health_certificate
from hgs.client import AttestationClient, FabricClient, HgsRefused, KeyProtectionClient
from hgs.keyprotection.metadata import parse_metadata
from hgs.keyprotection.protector import new_protector
from hgs.keyprotection.release import new_request, open_response
from hgs.wire import hgsa, kps
from tests.hgs.keyprotection.guardians import owner
from tests.hgs.service.node import TOKEN, Node

pytestmark = pytest.mark.tpm


@pytest.fixture(autouse=True)
def clock() -> None:
    """These parts have clocks of their own."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("hgs"))
    node.gf("init", "--trust-tpm")
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def hosts(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, HostConfig]]:
    """hv01 boots healthy, hv03 tampered; HGS knows both, and what hv01 is like."""
    folder = tmp_path_factory.mktemp("fabric")
    booted = {name: _boot(folder, node, name, profile) for name, profile in (("hv01", "healthy"), ("hv03", "tampered"))}
    _introduce(node, folder, booted)
    yield booted
    for config in booted.values():
        config.state.tpm.switch_off()


def _boot(folder: Path, node: Node, name: str, profile: str) -> HostConfig:
    config = HostConfig(
        state=HostState.of(folder / "hosts", name),
        hgs_url=node.url,
        library=LibraryAddress("http://portal.invalid", "a-token"),
        broker_url="memory://",
        hypervisor="dry",
        address="127.0.0.1",
        tpm_ca=folder / "ca",
        external_tcti="",
        capacity=Capacity(1, 1024, 1),
    )
    keep_profile(config, profile)
    boot_host(config)
    return config


def _introduce(node: Node, folder: Path, hosts: dict[str, HostConfig]) -> None:
    authorities = folder / "authorities.pem"
    authorities.write_bytes(b"".join(path.read_bytes() for path in sorted((folder / "ca").glob("*cert*.pem"))))
    node.gf("tpm-root", "add", str(authorities))
    fabric = FabricClient(node.url, TOKEN)
    for name, config in hosts.items():
        assert fabric.submit("host", name, config.state.platform_identifier.read_bytes(), "frank").state == "pending"
    fabric.submit("baseline", "r1", hosts["hv01"].state.boot_log.read_bytes())
    fabric.submit("ci-policy", "hosts", hosts["hv01"].state.ci_policy.read_bytes())
    node.gf("approve", *(row["id"] for row in node.gf_json("approvals")))
    fabric.close()


def test_a_healthy_host_is_certified_and_gets_keys(node: Node, hosts: dict[str, HostConfig]) -> None:
    hv01 = hosts["hv01"]
    attestor = Attestor(hv01)
    state = attestor.attest("test")
    assert state.passed, state.message
    certificate = attestor.health_certificate()

    client = AttestationClient(node.url)
    assert client.get_info().operation_mode is hgsa.AttestationOperationMode.TPM
    (signer,) = client.signing_certificates()
    health = verify_health_certificate(certificate, [TrustedSigner(signer)], datetime.now(UTC))
    assert health.kind is CertificateKind.ENCRYPTION

    keys = KeyProtectionClient(node.url)
    guardian = parse_metadata(keys.metadata()).verify("HGS").guardian
    protector, key = new_protector(owner(), [guardian], os.urandom)
    request = new_request(protector, certificate)
    answer = kps.parse_response(keys.roll_transport_key(kps.serialise_request(request)))
    released = open_response(answer, request, lambda value: identity_decrypt(hv01.tpm_access, value))
    assert released.ingress == key
    assert node.gf_json("releases")[0]["result"] == "released"

    fabric = FabricClient(node.url, TOKEN)
    told = fabric.attestation(UUID(state.attestation_id))
    assert (told["host_name"], told["passed"]) == ("hv01", True)
    assert all(check["outcome"] != "failed" for check in told["verdict"]["checks"])


def test_a_tampered_host_is_refused_with_a_reason_per_check(node: Node, hosts: dict[str, HostConfig]) -> None:
    state = Attestor(hosts["hv03"]).attest("test")
    assert state.status == "InsecureHostConfiguration"
    assert {"SecureBoot", "CodeIntegrityPolicy"} <= set(state.sub_statuses)
    (told,) = FabricClient(node.url, TOKEN).attestations(host="hv03")
    failed = {check["code"] for check in told["verdict"]["checks"] if check["outcome"] == "failed"}
    assert {"SecureBootEnabled", "SystemIntegrityCiKnownGood"} <= failed
    assert told["certificate_not_after"] is None
    assert "SecureBootEnabled" in node.gf("attestations", told["id"])


def test_a_host_without_a_certificate_gets_no_key(node: Node, hosts: dict[str, HostConfig]) -> None:
    keys = KeyProtectionClient(node.url)
    guardian = parse_metadata(keys.metadata()).verify("HGS").guardian
    protector, _ = new_protector(owner(), [guardian], os.urandom)
    request = new_request(protector, hosts["hv03"].state.platform_identifier.read_bytes()[:4096])
    with pytest.raises(HgsRefused) as caught:
        keys.roll_transport_key(kps.serialise_request(request))
    assert caught.value.reason == "HealthCertificateException"
    assert node.gf_json("releases")[0]["result"] == "refused"


def test_a_second_boot_attests_with_a_new_identity_key(node: Node, hosts: dict[str, HostConfig]) -> None:
    hv01 = hosts["hv01"]
    before = hv01.state.identity_key.read_bytes()
    boot_host(hv01)
    assert hv01.state.identity_key.read_bytes() != before
    assert Attestor(hv01).attest("test").passed
    assert "whole" in node.gf("verify-log")
