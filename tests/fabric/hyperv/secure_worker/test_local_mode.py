"""A host without HGS opens what owners granted to its own guardian, nothing else, and says what that is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fabric.cli.host import host as command
from fabric.hyperv import vm_folder
from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import StateError
from fabric.hyperv.hgs_client import NO_PROTECTION, HgsClient
from fabric.hyperv.local_guardian import keep_local_guardian, read_local_guardian
from fabric.hyperv.operations import virtual_machines
from fabric.hyperv.secure_worker.client import SecureWorkerFailed
from fabric.hyperv.spec import VmSpec
from fabric.hyperv.status import host_status
from fabric.hyperv.vm_state import parse_vm_state
from hgs.keyprotection.metadata import parse_metadata
from hgs.keyprotection.ownership import grant, revoke
from hgs.keyprotection.protector import parse_protector, serialise_protector, verify_protector
from tests.fabric.hyperv.conftest import BootedHost
from tests.fabric.hyperv.fake_hgs import FakeHgs
from tests.fabric.hyperv.fake_hgs_server import guardian as hgs_guardian
from tests.fabric.hyperv.fake_hgs_server import served
from tests.fabric.hyperv.secure_worker.conftest import quiet

pytestmark = pytest.mark.tpm


@pytest.fixture
def here(booted: BootedHost, settings: Any) -> HostConfig:
    """A host in local mode, for the commands as well."""
    config = replace(booted(), hgs_url="")
    settings.HOST_STATE_DIR = config.state.directory.parent
    settings.HOST_LOCAL_MODE, settings.HYPERVISOR = True, "dry"
    return config


def run(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(command, [str(item) for item in arguments])
    assert result.exit_code == code, result.output
    return result


def test_an_owner_grants_to_the_hosts_guardian_and_the_vm_starts(
    here: HostConfig, tenant: Any, small_template: Any, tmp_path: Path
) -> None:
    metadata = tmp_path / "local.xml"
    assert NO_PROTECTION in run("local-guardian", "hv01", "-o", metadata).stderr
    verified = parse_metadata(metadata.read_bytes()).verify("local")
    assert verified.guardian.fingerprint == keep_local_guardian(here.state.local_guardian).guardian.fingerprint
    pdk = tenant.pdk_for(tmp_path / "web.pdk", small_template.signed, [verified.guardian])
    files = ("--template", small_template.vhdx, "--catalog", small_template.catalog, "--pdk", pdk)
    made = run("local", "provision", "hv01", "web01", *files, "--port", "22022")
    assert NO_PROTECTION in made.stderr
    vm_id = made.stdout.strip()
    state = here.state.virtual_machines / vm_id / vm_folder.STATE
    before = parse_vm_state(state.read_bytes())
    run("local", "start", "hv01", vm_id)
    after = parse_vm_state(state.read_bytes())
    assert after.protector.wrappings[0].transport_key != before.protector.wrappings[0].transport_key
    assert "running" in run("local", "list", "hv01").output
    run("local", "stop", "hv01", vm_id, "--force")
    run("local", "remove", "hv01", vm_id)
    assert not state.parent.exists()


def test_an_owner_takes_a_vm_from_the_hosts_guardian_to_an_hgs(
    here: HostConfig, tenant: Any, small_template: Any, tmp_path: Path
) -> None:
    local = keep_local_guardian(here.state.local_guardian).guardian
    pdk = tenant.pdk_for(tmp_path / "web.pdk", small_template.signed, [local])
    files = ("--template", small_template.raw, "--catalog", small_template.catalog, "--pdk", pdk)
    vm_id = run("local", "provision", "hv01", "web01", *files, "--port", "22022").stdout.strip()
    exported, changed = tmp_path / "vm.kp", tmp_path / "new.kp"
    run("export-protector", "hv01", vm_id, "-o", exported)
    granted = grant(verify_protector(parse_protector(exported.read_bytes())), tenant.owner, hgs_guardian()[0].guardian)
    without = revoke(verify_protector(granted), tenant.owner, local.fingerprint)
    changed.write_bytes(serialise_protector(without))
    run("replace-protector", "hv01", vm_id, changed)
    assert "did not grant" in str(run("local", "start", "hv01", vm_id, code=1).exception)
    run("restore-protector", "hv01", vm_id)
    run("replace-protector", "hv01", vm_id, changed)
    fake = FakeHgs()
    with served(fake) as url:
        fake.trust_maker(here)
        fake.register(here)
        fake.approve_configuration(here)
        guarded = replace(here, hgs_url=url)
        hgs = HgsClient(guarded)
        assert virtual_machines(guarded, hgs).start(vm_id, hgs.health_certificate(), quiet)["state"] == "running"
        assert fake.asked_for_keys == [vm_id]


def test_shielding_data_for_an_hgs_alone_does_not_open(
    here: HostConfig, tenant: Any, small_template: Any, spec: VmSpec, tmp_path: Path
) -> None:
    assert here.local_guardian
    keep_local_guardian(here.local_guardian)
    machines = virtual_machines(here, HgsClient(here))
    pdk = tenant.pdk(tmp_path / "web.pdk", small_template.signed)
    with pytest.raises(SecureWorkerFailed) as caught:
        machines.provision(spec, b"", small_template.raw, small_template.catalog, pdk, quiet)
    assert caught.value.code == "local-guardian-not-granted"
    assert machines.list() == {}


def test_the_status_says_plainly_that_nothing_is_protected(here: HostConfig) -> None:
    status = host_status(here)
    assert (status["Mode"], status["AttestationStatus"], status["IsHostGuarded"]) == ("Local", "NotConfigured", False)
    assert status["message"] == NO_PROTECTION
    assert HgsClient(here).attest("test").status == "NotConfigured"
    assert not here.state.attestation.exists()
    assert NO_PROTECTION in " ".join(run("status", "hv01", code=1).output.split())


@pytest.mark.parametrize("arguments", [("local-guardian", "hv01", "-o", "x.xml"), ("local", "list", "hv01")])
def test_a_host_with_an_hgs_has_no_local_mode(here: HostConfig, settings: Any, arguments: tuple[str, ...]) -> None:
    settings.HOST_LOCAL_MODE = False
    assert "not in local mode" in run(*arguments, code=1).output
    assert not here.state.local_guardian.exists()


def test_the_guardian_stays_the_same_and_is_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "local-guardian.pem"
    first = keep_local_guardian(path)
    assert keep_local_guardian(path).guardian.fingerprint == first.guardian.fingerprint
    assert path.stat().st_mode & 0o077 == 0
    path.chmod(0o640)
    with pytest.raises(StateError, match="Others can read"):
        read_local_guardian(path)
    assert first.guardian.name == "UntrustedGuardian"


def test_a_damaged_guardian_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "local-guardian.pem"
    keep_local_guardian(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:-40], whole + whole, bytes(64)):
        path.write_bytes(damaged)
        with pytest.raises(StateError, match="cannot be read"):
            read_local_guardian(path)
