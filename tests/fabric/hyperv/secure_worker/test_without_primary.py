"""A host whose primary HGS is away: the fallback gives keys within the same start, or a kept key opens the VM."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fabric.hyperv import offline_key, protector_change, vm_folder
from fabric.hyperv.config import HgsAddress, HostConfig
from fabric.hyperv.errors import AttestationFailed, HostError, TpmError
from fabric.hyperv.hgs_client import HgsClient
from fabric.hyperv.measured_boot import boot_host
from fabric.hyperv.operations import HostOperations, virtual_machines
from fabric.hyperv.spec import VmSpec
from fabric.hyperv.state import write_whole
from fabric.hyperv.status import host_status
from fabric.hyperv.tpm import open_tpm
from fabric.hyperv.tpm_uses import CountedSecrets
from fabric.hyperv.virtual_machines import VirtualMachines
from fabric.hyperv.vm_state import parse_vm_state
from hgs.client import HgsRefused
from hgs.keyprotection import algorithms
from hgs.keyprotection.ownership import grant, revoke
from hgs.keyprotection.protector import parse_protector, serialise_protector, unwrap, verify_protector
from tests.fabric.hyperv.conftest import BootedHost
from tests.fabric.hyperv.fake_hgs import FakeHgs
from tests.fabric.hyperv.fake_hgs_server import guardian, served
from tests.fabric.hyperv.secure_worker.conftest import quiet

pytestmark = pytest.mark.tpm


class Silent:
    """A control plane that listens to nobody."""

    def reported(self, _report: Any) -> bool:
        return True


@dataclass
class Site:
    """A host that two HGS know, and one VM on it. Both services hold the same guardian."""

    config: HostConfig
    vm_id: str
    primary: FakeHgs
    fallback: FakeHgs
    messages: list[str] = field(default_factory=list)

    @property
    def hgs(self) -> HgsClient:
        return HgsClient(self.config)

    @property
    def machines(self) -> VirtualMachines:
        return virtual_machines(self.config, self.hgs)

    @property
    def folder(self) -> Path:
        return self.config.state.virtual_machines / self.vm_id

    def start(self) -> dict[str, Any]:
        """As a task does, then the VM is off again."""
        operations = HostOperations(self.config, self.hgs, self.machines, Silent())  # type: ignore[arg-type]
        try:
            return operations.start(self.vm_id, lambda _step, _percent, message: self.messages.append(message))
        finally:
            self.machines.stop(self.vm_id, force=True)

    def failure(self) -> str:
        """The code of the error of a start that does not come about."""
        with pytest.raises(HostError) as caught:
            self.start()
        return caught.value.code

    def transport_wrapping(self) -> object:
        state = parse_vm_state((self.folder / vm_folder.STATE).read_bytes())
        return state.protector.wrappings[0].transport_key

    def away(self) -> None:
        self.primary.reachable = self.fallback.reachable = False

    def back(self) -> None:
        self.primary.reachable = self.fallback.reachable = True


def fill(config: HostConfig) -> None:
    """Store counted secrets in the host's TPM until it takes no more."""
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm, suppress(TpmError):
        while True:
            CountedSecrets(tpm).store(bytes(32), 1)


def trust(hgs: FakeHgs, config: HostConfig) -> None:
    hgs.trust_maker(config)
    hgs.register(config)
    hgs.approve_configuration(config)


@pytest.fixture
def site(booted: BootedHost, tenant: Any, small_template: Any, spec: VmSpec, tmp_path: Path) -> Iterator[Site]:
    primary, fallback = FakeHgs(), FakeHgs()
    with served(primary) as first, served(fallback) as second:
        config = replace(booted("hv01", "healthy"), hgs_url=first, fallback=HgsAddress(second, second))
        for hgs in (primary, fallback):
            trust(hgs, config)
        made = Site(config, spec.id, primary, fallback)
        pdk = replace(tenant, guardian=guardian()[0]).pdk(tmp_path / "web.pdk", small_template.signed)
        certificate = made.hgs.health_certificate()
        made.machines.provision(spec, certificate, small_template.raw, small_template.catalog, pdk, quiet)
        yield made


def test_the_primary_is_asked_first_and_alone(site: Site) -> None:
    assert site.start() == {}
    assert site.primary.asked_for_keys == [site.vm_id, site.vm_id]
    assert site.fallback.asked_for_keys == site.fallback.verdicts == []
    status = host_status(site.config)
    assert (status["IsFallbackInUse"], status["certificate_by"]) == (False, "primary")
    assert status["FallbackAttestationServerUrl"] == f"{site.config.fallback.attestation}/Attestation"  # type: ignore[union-attr]


def test_a_primary_that_goes_away_is_replaced_within_one_start(site: Site) -> None:
    before = site.transport_wrapping()
    site.primary.reachable = False
    assert site.start() == {}
    assert site.transport_wrapping() != before
    assert site.fallback.asked_for_keys == [site.vm_id]
    status = host_status(site.config)
    assert (status["IsHostGuarded"], status["IsFallbackInUse"], status["certificate_by"]) == (True, True, "fallback")


def test_a_primary_that_attests_but_gives_no_keys_is_replaced_too(site: Site) -> None:
    site.primary.key_fault = (503, "ServiceUnavailableException")
    assert site.start() == {}
    assert site.fallback.asked_for_keys == [site.vm_id]


def test_without_any_certificate_the_fallback_attests(site: Site) -> None:
    site.hgs.forget()
    site.primary.reachable = False
    assert site.start() == {}
    assert site.fallback.asked_for_keys == [site.vm_id]


def test_a_service_that_answers_again_is_not_said_to_be_away(site: Site) -> None:
    site.primary.key_fault = site.fallback.key_fault = (503, "ServiceUnavailableException")
    assert site.failure() == "offline-not-allowed"
    site.primary.key_fault = site.fallback.key_fault = None
    site.hgs.attest("test")
    site.start()
    assert not any(attestor.current().unreachable for attestor in (site.hgs.primary, site.hgs.in_use))
    assert host_status(site.config)["message"] == "HGS has attested this host."


def test_a_state_of_version_1_starts_and_is_of_version_2_afterwards(site: Site) -> None:
    path = site.folder / vm_folder.STATE
    state = parse_vm_state(path.read_bytes())
    key = unwrap(verify_protector(state.protector), guardian()[0])
    digest = hashlib.sha256(serialise_protector(state.protector)).digest()
    context = b"guarded-fabric vm-state virtual-tpm-key\0" + site.vm_id.encode() + b"\0" + digest
    vtpm_key = state.open_vtpm_key(key).reveal()
    sealed = algorithms.encrypt_content(key.derive("vm-state"), vtpm_key, context, os.urandom)
    path.write_bytes(replace(state, vtpm_key=sealed, version=1).serialise())
    site.start()
    assert parse_vm_state(path.read_bytes()).version == 2
    site.start()


def test_the_primary_is_used_again_once_it_answers(site: Site) -> None:
    site.primary.reachable = False
    site.start()
    site.primary.reachable = True
    assert site.hgs.attest("primary-retry").service == "primary"
    site.start()
    assert site.fallback.asked_for_keys == [site.vm_id]
    assert host_status(site.config)["IsFallbackInUse"] is False


def test_a_primary_that_stays_away_costs_the_fallback_no_second_attestation(site: Site) -> None:
    site.primary.reachable = False
    site.start()
    attested = len(site.fallback.verdicts)
    assert site.hgs.attest("primary-retry").service == "fallback"
    assert len(site.fallback.verdicts) == attested


def test_a_refusal_of_the_primary_is_not_taken_to_the_fallback(site: Site) -> None:
    site.primary.key_fault = (400, "InvalidProtectorException")
    with pytest.raises(HgsRefused):
        site.start()
    site.primary.ci_policies.clear()
    assert site.hgs.attest("test").status == "InsecureHostConfiguration"
    assert site.failure() == "host-insecure-host-configuration"
    assert site.fallback.asked_for_keys == site.fallback.verdicts == []


def test_a_fallback_that_refuses_the_host_gives_no_keys(site: Site) -> None:
    site.fallback.ci_policies.clear()
    site.primary.reachable = False
    assert site.failure() == "host-insecure-host-configuration"


def test_two_services_without_keys_end_the_start(site: Site) -> None:
    site.primary.key_fault = site.fallback.key_fault = (503, "ServiceUnavailableException")
    assert site.failure() == "offline-not-allowed"
    assert (len(site.primary.asked_for_keys), len(site.fallback.asked_for_keys)) == (2, 1)


# Starts without any HGS


def test_without_permission_nothing_starts_while_hgs_is_away(site: Site) -> None:
    site.start()
    assert not (site.folder / vm_folder.OFFLINE_KEY).exists()
    site.away()
    assert site.failure() == "offline-not-allowed"


@pytest.fixture
def permitted(site: Site) -> Site:
    """The site after HGS released the VM's keys with the permission for two starts without it."""
    site.primary.offline_unwraps = 2
    site.start()
    return site


def test_a_vm_starts_without_hgs_as_often_as_was_permitted(permitted: Site) -> None:
    before = (permitted.folder / vm_folder.STATE).read_bytes()
    assert host_status(permitted.config)["offline_starts"] == {permitted.vm_id: 2}
    permitted.away()
    assert permitted.start() == {"offline_starts_left": 1}
    assert permitted.start() == {"offline_starts_left": 0}
    assert permitted.failure() == "offline-used-up"
    assert (permitted.folder / vm_folder.STATE).read_bytes() == before
    assert host_status(permitted.config)["offline_starts"] == {permitted.vm_id: 0}
    assert any("HGS does not answer" in message for message in permitted.messages)


def test_an_older_copy_of_the_vms_folder_gives_no_more_starts(permitted: Site, tmp_path: Path) -> None:
    shutil.copytree(permitted.folder, tmp_path / "copy")
    permitted.away()
    permitted.start()
    permitted.start()
    shutil.rmtree(permitted.folder)
    shutil.copytree(tmp_path / "copy", permitted.folder)
    assert permitted.failure() == "offline-used-up"


def test_a_new_release_ends_what_an_older_one_permitted(permitted: Site, tmp_path: Path) -> None:
    shutil.copytree(permitted.folder, tmp_path / "copy")
    permitted.primary.offline_unwraps = 0
    permitted.start()
    assert not (permitted.folder / vm_folder.OFFLINE_KEY).exists()
    permitted.away()
    shutil.rmtree(permitted.folder)
    shutil.copytree(tmp_path / "copy", permitted.folder)
    assert permitted.failure() == "offline-used-up"


def test_the_permission_outlives_a_boot_of_the_same_configuration(permitted: Site) -> None:
    permitted.away()
    boot_host(permitted.config)
    assert permitted.start() == {"offline_starts_left": 1}


def test_a_host_in_another_configuration_opens_no_kept_key(permitted: Site, booted: BootedHost) -> None:
    permitted.away()
    booted("hv01", "tampered")
    assert permitted.failure() == "offline-configuration-changed"
    booted("hv01", "healthy")
    assert permitted.start() == {"offline_starts_left": 1}


def test_a_refused_host_opens_no_kept_key_even_after_a_boot(permitted: Site) -> None:
    permitted.primary.hosts.clear()
    assert permitted.hgs.attest("test").status == "UnauthorizedHost"
    permitted.away()
    assert permitted.failure() == "host-refused"
    boot_host(permitted.config)
    assert permitted.failure() == "host-refused"
    permitted.back()
    permitted.primary.register(permitted.config)
    permitted.hgs.attest("test")
    permitted.away()
    assert permitted.start() == {"offline_starts_left": 1}


def test_what_one_service_refused_no_other_one_takes_back(permitted: Site) -> None:
    permitted.primary.hosts.clear()
    permitted.hgs.attest("test")
    permitted.primary.reachable = False
    permitted.hgs.attest("test")
    assert permitted.hgs.current().service == "fallback"
    assert permitted.hgs.current().passed
    permitted.away()
    assert permitted.failure() == "host-refused"
    permitted.hgs.forget()
    assert permitted.failure() == "host-refused"
    permitted.back()
    permitted.primary.register(permitted.config)
    assert permitted.hgs.attest("test").service == "primary"
    permitted.away()
    assert permitted.start() == {"offline_starts_left": 1}


def test_a_refusal_of_the_fallback_stands_until_the_fallback_takes_it_back(permitted: Site) -> None:
    fallback = permitted.hgs.fallback
    assert fallback is not None
    permitted.fallback.hosts.clear()
    assert fallback.attest("test").refused
    assert permitted.hgs.attest("test").passed
    permitted.away()
    assert permitted.failure() == "host-refused"
    permitted.back()
    permitted.fallback.register(permitted.config)
    assert permitted.hgs.attest("test").service == "primary"
    permitted.away()
    assert permitted.start() == {"offline_starts_left": 1}


def test_a_refusal_whose_note_cannot_be_read_stands(permitted: Site) -> None:
    permitted.primary.hosts.clear()
    permitted.hgs.attest("test")
    permitted.config.state.refusal.write_bytes(b"")
    permitted.away()
    assert permitted.failure() == "host-refused"


def test_a_certificate_that_hgs_denied_opens_no_kept_key(permitted: Site) -> None:
    permitted.primary.key_fault = (403, "HealthCertificateException")
    with pytest.raises(HgsRefused):
        permitted.start()
    permitted.away()
    assert permitted.failure() == "host-refused"


def test_a_refused_protector_ends_the_permission(permitted: Site) -> None:
    permitted.primary.key_fault = (400, "InvalidProtectorException")
    with pytest.raises(HgsRefused):
        permitted.start()
    permitted.away()
    assert permitted.failure() == "offline-not-allowed"


def test_an_hgs_that_is_asked_too_often_has_decided_nothing(permitted: Site) -> None:
    permitted.primary.key_fault = (429, "ServiceUnavailableException")
    with pytest.raises(HgsRefused):
        permitted.start()
    assert permitted.fallback.asked_for_keys == []
    permitted.away()
    assert permitted.start() == {"offline_starts_left": 1}


def test_a_replaced_protector_that_hgs_refuses_can_be_put_back(site: Site, tenant: Any) -> None:
    document = site.machines.export_protector(site.vm_id)
    both = grant(verify_protector(parse_protector(document)), tenant.owner, tenant.guardian.guardian)
    without = revoke(verify_protector(both), tenant.owner, guardian()[0].guardian.fingerprint)
    site.machines.replace_protector(site.vm_id, serialise_protector(without))
    with pytest.raises(HgsRefused) as caught:
        site.start()
    assert "restore-protector" in caught.value.advice
    site.machines.restore_protector(site.vm_id)
    assert site.start() == {}


def test_an_owner_who_replaces_the_protector_ends_the_permission(permitted: Site, tenant: Any) -> None:
    document = permitted.machines.export_protector(permitted.vm_id)
    changed = grant(verify_protector(parse_protector(document)), tenant.owner, tenant.guardian.guardian)
    permitted.machines.replace_protector(permitted.vm_id, serialise_protector(changed))
    permitted.away()
    assert permitted.failure() == "offline-not-allowed"
    permitted.back()
    assert permitted.start() == {}
    assert not (permitted.folder / vm_folder.PREVIOUS_PROTECTOR).exists()


def test_a_crash_while_the_protector_is_replaced_leaves_no_permission(
    permitted: Site, tenant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(path: Path, data: bytes) -> None:
        write_whole(path, data)
        if path.name == vm_folder.STATE:
            raise OSError("the power is gone")

    document = permitted.machines.export_protector(permitted.vm_id)
    changed = serialise_protector(
        grant(verify_protector(parse_protector(document)), tenant.owner, tenant.guardian.guardian)
    )
    monkeypatch.setattr(protector_change, "write_whole", crash)
    with pytest.raises(OSError, match="power"):
        permitted.machines.replace_protector(permitted.vm_id, changed)
    assert permitted.machines.export_protector(permitted.vm_id) == changed
    permitted.away()
    assert permitted.failure() == "offline-not-allowed"


def test_a_protector_that_is_refused_takes_no_permission_away(permitted: Site) -> None:
    with pytest.raises(HostError):
        permitted.machines.replace_protector(permitted.vm_id, b"<Protector/>")
    permitted.away()
    assert permitted.start() == {"offline_starts_left": 1}


def test_the_kept_key_of_another_vm_does_not_open(permitted: Site) -> None:
    path = permitted.folder / vm_folder.OFFLINE_KEY
    other = "00000000-0000-4000-8000-000000000000"
    path.write_bytes(path.read_bytes().replace(permitted.vm_id.encode(), other.encode()))
    permitted.away()
    assert permitted.failure() == "offline-key-damaged"


def test_a_kept_key_does_not_open_an_older_state(permitted: Site) -> None:
    old = (permitted.folder / vm_folder.STATE).read_bytes()
    permitted.start()
    permitted.away()
    (permitted.folder / vm_folder.STATE).write_bytes(old)
    assert permitted.failure() == "offline-not-allowed"


def test_a_removed_vm_leaves_nothing_in_the_tpm(permitted: Site) -> None:
    permitted.machines.remove(permitted.vm_id)
    with open_tpm(permitted.config.tcti, permitted.config.state.tpm_lock) as tpm:
        assert CountedSecrets(tpm).stored() == []


def test_what_a_crash_left_in_the_tpm_is_removed_and_the_rest_stays(permitted: Site) -> None:
    with open_tpm(permitted.config.tcti, permitted.config.state.tpm_lock) as tpm:
        CountedSecrets(tpm).store(bytes(32), 5)
        assert len(CountedSecrets(tpm).stored()) == 2
    permitted.machines.recover()
    permitted.away()
    assert permitted.start() == {"offline_starts_left": 1}
    with open_tpm(permitted.config.tcti, permitted.config.state.tpm_lock) as tpm:
        assert len(CountedSecrets(tpm).stored()) == 1


def test_a_vm_starts_though_the_tpm_has_no_room_for_its_key_and_keeps_no_older_one(permitted: Site) -> None:
    # A file that cannot be read frees no room in the TPM.
    (permitted.folder / vm_folder.OFFLINE_KEY).write_bytes(b"damaged")
    fill(permitted.config)
    assert permitted.start() == {}
    assert any("no room" in message for message in permitted.messages)
    assert not (permitted.folder / vm_folder.OFFLINE_KEY).exists()
    assert host_status(permitted.config)["offline_starts"] == {}
    permitted.away()
    assert permitted.failure() == "offline-not-allowed"


def test_the_kept_key_is_not_in_the_folder(permitted: Site) -> None:
    permitted.away()
    key, _left = offline_key.use(permitted.folder, permitted.vm_id, permitted.config.tpm_access)
    for path in permitted.folder.rglob("*"):
        if path.is_file():
            assert key.value.reveal() not in path.read_bytes()


def test_nothing_new_is_made_without_hgs(permitted: Site) -> None:
    permitted.hgs.forget()
    permitted.away()
    with pytest.raises(AttestationFailed):
        permitted.hgs.health_certificate()
