"""A key rollover down to the files of a real host: its tasks, its job ledger, and the state of a VM on its disk."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.utils import timezone

import fabric.hyperv.tasks
import fabric.tasks
from fabric.commands.jobs import finish_job
from fabric.commands.placing import place_vm
from fabric.hyperv import vm_folder
from fabric.hyperv.config import HostConfig
from fabric.hyperv.control_plane import ControlPlane
from fabric.hyperv.hgs_client import HgsClient
from fabric.hyperv.host import Host, become
from fabric.hyperv.job_ledger import JobLedger
from fabric.hyperv.operations import HostOperations
from fabric.hyperv.state import write_json
from fabric.hyperv.virtual_machines import VirtualMachines
from fabric.hyperv.vm_state import VmState, parse_vm_state, protect
from fabric.shielding.pdk import parse_pdk
from hgs.commands.dependents import record_dependents
from hgs.keyprotection import certificates
from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.protector import roll, unwrap, verify_protector
from hgs.keyprotection.secret import Secret
from hgs.models import KeyPurpose, ServiceKey
from hgs.selectors.dependents import dependents as hgs_dependents
from portal.celery import app
from portal.kernel.models import Job, JobState
from tenants.commands.rollover import prepare_rollover
from tenants.commands.rollover_result import apply_rollover
from tenants.commands.virtual_machines import create_vm
from tenants.models import VirtualMachine
from tenants.rollover.bundle import ObjectKind
from tenants.selectors.dependents import dependents
from tenants.selectors.rollover import ItemState, count_outdated, rollover_of
from tests.cast import Cast
from tests.fabric.hyperv.conftest import config_in
from tests.hgs.keyprotection.guardians import branch, counted_random, lab
from tests.hgs.service.conftest import FABRIC, REVIEWER
from tests.tenants.rolling import hgs_has, regranted, upload, work_file

VTPM_KEY = Secret(bytes(range(32)))


class RealHost:
    """Host hv01; `start` does to a VM's state what its secure worker does with HGS's answer."""

    def __init__(self, config: HostConfig) -> None:
        self.folder = config.state.directory / "machines"
        control_plane = ControlPlane(config.name, self.report)
        machines = VirtualMachines(self.folder, None, lambda _: lambda request: request, "dry")  # type: ignore[arg-type]
        self.host = Host(
            config,
            HostOperations(config, HgsClient(config), machines, control_plane),
            JobLedger(config.state.jobs, control_plane),
        )

    def receive(self, task: str, kwargs: dict[str, Any], queue: str, countdown: float = 0) -> None:  # noqa: ARG002
        """A message of the control plane, taken off the host's queue."""
        if queue == "host.hv01" and task.endswith("_protector"):
            become(self.host)
            app.tasks[task](**kwargs)

    def report(self, name: str, *, kwargs: dict[str, Any], queue: str, retry: bool) -> None:  # noqa: ARG002
        """A message of the host, taken off the control plane's queue."""
        app.tasks[name](**kwargs)

    def make(self, vm: VirtualMachine) -> None:
        protector = verify_protector(parse_pdk(vm.shielding_data.blob.path.read_bytes()).key_protector)
        folder = self.folder / str(vm.pk)
        (folder / vm_folder.RUN).mkdir(parents=True)
        write_json(folder / vm_folder.RECORD, {"spec": {"name": vm.name}, "facts": {}})
        rolled, key = roll(protector, lab(), counted_random("made"))
        self._write(protect(str(vm.pk), rolled, key, VTPM_KEY, counted_random("state")))

    def start(self, vm: VirtualMachine, keys: GuardianKeys) -> Secret:
        """HGS, which holds these keys, rolls the protector; the key of the VM's virtual TPM comes out."""
        state = self.state(vm)
        verified = verify_protector(state.protector)
        found = state.open_vtpm_key(unwrap(verified, keys))
        rolled, key = roll(verified, keys, counted_random(f"start {vm.pk} {keys.guardian.name}"))
        self._write(protect(str(vm.pk), rolled, key, found, counted_random("again")))
        return found

    def state(self, vm: VirtualMachine) -> VmState:
        return parse_vm_state((self.folder / str(vm.pk) / vm_folder.STATE).read_bytes())

    def _write(self, state: VmState) -> None:
        (self.folder / state.vm_id / vm_folder.STATE).write_bytes(state.serialise())


@pytest.fixture
def host(tmp_path: Path, settings: Any) -> Iterator[RealHost]:
    assert fabric.tasks
    assert fabric.hyperv.tasks
    settings.LIBRARY_DIR = tmp_path / "library"
    made = RealHost(config_in(tmp_path, "hv01"))
    with patch("fabric.dispatch._send", made.receive):
        yield made
    become(None)


@pytest.fixture
def vm(cast: Cast, host: RealHost) -> Iterator[VirtualMachine]:
    with hgs_has(lab()):
        cast.template, cast.host  # noqa: B018 - made when asked for
        started = create_vm(
            cast.as_owner, subscription=cast.subscription, name="web01", shielding_data=upload(cast),
            network=cast.network,
        )  # fmt: skip
        place_vm(started.job.pk, started.vm.pk, 0, timezone.now())
        host.make(started.vm)
        finish_job(started.job.pk, "succeeded")
        started.vm.refresh_from_db()
    with hgs_has(branch()):
        yield started.vm


def needed(keys: GuardianKeys) -> int:
    """How much HGS believes to depend on its encryption key, once the fabric has reported."""
    record_dependents(FABRIC, dependents(), timezone.now())
    fingerprint = certificates.fingerprint(keys.guardian.encryption_certificate)
    key = ServiceKey(purpose=KeyPurpose.GUARDIAN_ENCRYPTION, fingerprint=fingerprint, created_at=timezone.now())
    return hgs_dependents(REVIEWER, [key]).count


def test_a_vm_starts_with_the_new_keys_alone_after_the_rollover(
    cast: Cast, vm: VirtualMachine, host: RealHost, django_capture_on_commit_callbacks: Any
) -> None:
    assert needed(lab()) == 2
    with django_capture_on_commit_callbacks(execute=True):
        prepare_rollover(cast.as_owner)
    result = regranted(work_file(cast.as_owner), None, None, lab().guardian.fingerprint)
    with django_capture_on_commit_callbacks(execute=True):
        apply_rollover(cast.as_owner, file=io.BytesIO(result))
    assert set(Job.objects.filter(kind__endswith="-protector").values_list("state", flat=True)) == {JobState.SUCCEEDED}
    assert count_outdated(cast.as_owner) == 0
    assert (needed(lab()), needed(branch())) == (0, 2)
    assert host.start(vm, branch()) == VTPM_KEY
    assert [wrapping.signing_certificate for wrapping in verify_protector(host.state(vm).protector).guardians] == [
        branch().guardian.signing_certificate
    ]


def test_a_start_in_between_keeps_the_vm_as_it_is_and_is_told(
    cast: Cast, vm: VirtualMachine, host: RealHost, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        prepare_rollover(cast.as_owner)
    result = regranted(work_file(cast.as_owner))
    host.start(vm, lab())
    with django_capture_on_commit_callbacks(execute=True):
        apply_rollover(cast.as_owner, file=io.BytesIO(result))
    (item,) = [one for one in rollover_of(cast.as_owner).items if one.kind is ObjectKind.VM]
    assert item.state is ItemState.FAILED
    assert "started after its key protector was fetched" in item.reason
    assert host.start(vm, lab()) == VTPM_KEY
