"""An emulated host with a real TPM attests in whatever mode a real HGS is in, in TPM mode by version 1 too."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from fabric.hyperv.agent import keep_profile
from fabric.hyperv.attestation import Attestor
from fabric.hyperv.config import HostConfig
from fabric.hyperv.host_key import host_key
from fabric.hyperv.measured_boot import boot_host
from fabric.hyperv.swtpm import SoftwareTpm
from hgs.attestation.verdict import MODE_AD, MODE_HOST_KEY, MODE_TPM
from tests.fabric.hyperv.conftest import config_in
from tests.hgs.domain.conftest import DomainNode, Realm

pytestmark = [pytest.mark.samba, pytest.mark.tpm]


@pytest.fixture(scope="module")
def host(realm: Realm, node: DomainNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostConfig]:
    """hv01, booted, with the keytab of its computer account in its folder."""
    folder = tmp_path_factory.mktemp("host")
    config = replace(config_in(folder, "hv01"), hgs_url=node.url)
    SoftwareTpm(config.state.tpm.directory).manufacture(config.tpm_ca, config.name)
    shutil.copyfile(realm.keytab("hv01"), config.state.keytab)
    keep_profile(config, "healthy")
    boot_host(config)
    yield config
    config.state.tpm.switch_off()


@pytest.fixture
def set_mode(node: DomainNode) -> Iterator[Callable[[str], None]]:
    def set_(option: str) -> None:
        node.gf("set", option)

    yield set_
    node.gf("set", "--trust-ad")


def approve(node: DomainNode, kind: str, name: str, file: Path, *options: str) -> None:
    identifier = node.gf("submit", kind, name, str(file), *options[:2]).split()[0]
    node.gf("approve", identifier, *options)


def test_domain_member_passes_and_its_tpm_key_is_certified(host: HostConfig, realm: Realm) -> None:
    attestor = Attestor(host)
    state = attestor.attest("test")
    assert (state.status, state.mode) == ("Passed", MODE_AD)
    assert x509.load_der_x509_certificate(attestor.health_certificate())


def test_member_of_no_group_is_told_what_to_do(host: HostConfig, realm: Realm) -> None:
    stranger = replace(host, named_keytab=str(realm.keytab("hv03")))
    state = Attestor(stranger).rehearse(MODE_AD)
    assert state.status == "UnauthorizedHost"
    assert "in no domain group" in state.message
    assert "registered group" in state.advice


def test_without_a_usable_keytab_the_host_says_so_and_tries_again(host: HostConfig, tmp_path: Path) -> None:
    state = Attestor(replace(host, named_keytab=str(tmp_path / "none"))).rehearse(MODE_AD)
    assert (state.status, state.mode) == ("TransientError", MODE_AD)
    assert "is no file" in state.message


def test_host_follows_hgs_into_host_key_mode(
    host: HostConfig, node: DomainNode, set_mode: Callable[[str], None]
) -> None:
    set_mode("--trust-host-key")
    attestor = Attestor(host)
    state = attestor.attest("test")
    assert (state.status, state.mode) == ("UnauthorizedHost", MODE_HOST_KEY)
    assert "host key is not registered" in state.message
    host_key(host.state)
    node.gf("host-key", "add", "hv01", str(host.state.host_key_certificate))
    assert attestor.attest("test").passed


def test_host_that_is_known_in_version_1_alone_passes_by_it(
    host: HostConfig, node: DomainNode, set_mode: Callable[[str], None]
) -> None:
    set_mode("--trust-tpm")
    attestor = Attestor(host)
    assert attestor.attest("test").status == "UnauthorizedHost"
    approve(node, "host", "hv01", host.state.platform_identifier, "--policy-version", "v1", "--force")
    approve(node, "baseline", "hardware", host.state.boot_log, "--policy-version", "v1")
    approve(node, "ci-policy", "policy", host.state.ci_policy, "--policy-version", "v1")
    state = attestor.attest("test")
    assert (state.status, state.mode, state.sub_statuses) == ("Passed", MODE_TPM, ())
    rows = node.gf_json("attestations", "--limit", "1")
    assert node.gf_json("attestations", rows[0]["id"])["verdict"]["protocol_version"] == 1


def test_rehearsals_of_other_modes_take_nothing_from_the_host(host: HostConfig) -> None:
    attestor = Attestor(host)
    assert attestor.attest("test").passed
    kept = attestor.health_certificate()
    for mode in (MODE_TPM, MODE_HOST_KEY, MODE_AD):
        attestor.rehearse(mode)
    assert attestor.current().passed
    assert attestor.health_certificate() == kept
