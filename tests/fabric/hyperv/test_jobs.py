"""Jobs on a host: taken once, reported whatever happens, never forgotten."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from kombu.exceptions import OperationalError

from fabric import messages
from fabric.hyperv import tasks
from fabric.hyperv.attestation import AttestationState
from fabric.hyperv.config import HostConfig
from fabric.hyperv.control_plane import ControlPlane
from fabric.hyperv.errors import AttestationFailed, HostError
from fabric.hyperv.hgs_client import HgsClient
from fabric.hyperv.host import Host, become
from fabric.hyperv.job_ledger import JobLedger
from fabric.hyperv.operations import HostOperations
from fabric.hyperv.virtual_machines import ProvisionResult
from fabric.tasks import RESULT_LIMIT
from hgs.client import HgsRefused
from hgs.keyprotection.protector_form import PROTECTOR_MAX

JOB, VM = "0e27fabf-5400-4b24-93b3-d5f595b609b7", "7f3c1b9a-2d64-4c0e-9a53-1f2e3d4c5b6a"
SPEC = {
    "id": VM, "name": "web01", "vcpus": 1, "memory_mib": 512, "specialization": {"@ComputerName@": "web01"},
    "network": {"cidr": "10.0.3.0/24", "address": "10.0.3.5", "gateway": "10.0.3.1", "dns": "10.0.3.1"},
    "access_port": 22001, "template_sha256": "a" * 64, "catalog_sha256": "b" * 64, "pdk_sha256": "c" * 64,
}  # fmt: skip


class Broker:
    """Keeps what was sent; `away` makes it unreachable."""

    def __init__(self) -> None:
        self.away = False
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, name: str, *, kwargs: dict[str, Any], queue: str, retry: bool) -> None:
        assert not retry
        if self.away:
            raise OperationalError("no broker")
        assert queue == "fabric"
        self.sent.append((name, json.loads(json.dumps(kwargs))))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [arguments for sent, arguments in self.sent if sent == name]


class Machines:
    """Virtual machines in name only; `failure` is raised by the operation it is set for."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.failures: dict[str, Exception] = {}

    def _meet(self, operation: str) -> None:
        if operation in self.failures:
            raise self.failures[operation]

    def provision(self, spec: Any, *_rest: Any) -> ProvisionResult:
        self._meet("provision")
        self.states[spec.id] = "stopped"
        return ProvisionResult(spec.id, {"policy": "Shielded"})

    def start(self, vm_id: str, certificate: bytes, *_rest: Any) -> dict[str, Any]:
        self._meet("start")
        self.states[vm_id] = "running"
        return {"beat": 1} if certificate else {"beat": 1, "offline_starts_left": 2}

    def export_protector(self, vm_id: str) -> bytes:
        self._meet("export")
        return b"<Protector/>" + vm_id.encode()

    def replace_protector(self, _vm_id: str, document: bytes) -> str:
        self._meet("replace")
        return hashlib.sha256(document).hexdigest()

    def restore_protector(self, vm_id: str) -> str:
        self._meet("restore")
        return hashlib.sha256(vm_id.encode()).hexdigest()

    def stop(self, vm_id: str, *_rest: Any) -> None:
        self._meet("stop")
        self.states[vm_id] = "stopped"

    def remove(self, vm_id: str) -> None:
        self.states.pop(vm_id, None)

    def list(self) -> dict[str, str]:
        return dict(self.states)


class Attested(HgsClient):
    refusal: HostError | None = None
    away = False

    def health_certificate(self) -> bytes:
        if self.refusal:
            raise self.refusal
        return b"certificate"

    def certificate_if_any_answers(self) -> bytes:
        return b"" if self.away else self.health_certificate()

    def current(self) -> AttestationState:
        return AttestationState(status="Passed")


class Parts:
    """A host whose virtual machines, broker and attestation are stand-ins."""

    def __init__(self, config: HostConfig) -> None:
        self.config, self.broker, self.machines = config, Broker(), Machines()
        control_plane = ControlPlane(config.name, self.broker.send)
        self.hgs = Attested(config)
        self.ledger = JobLedger(config.state.jobs, control_plane)
        self.operations = HostOperations(config, self.hgs, self.machines, control_plane)  # type: ignore[arg-type]

    def outcome(self) -> Mapping[str, Any]:
        """The one outcome that was reported, which the control plane must be able to read."""
        (finished,) = self.broker.of("fabric.job_finished")
        messages.outcome(finished["outcome"])
        messages.HostError.parse(finished["error"])
        assert finished["host"] == "hv01"
        return finished


@pytest.fixture
def parts(host: HostConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    made = Parts(host)
    for name in ("a", "b", "c"):
        (host.state.copies / (name * 64)).write_bytes(b"content")
    become(Host(host, made.operations, made.ledger))
    yield made
    become(None)


def test_provisioned_machine_runs_and_the_job_succeeds(parts: Parts) -> None:
    tasks.provision_vm(JOB, SPEC)
    outcome = parts.outcome()
    assert (outcome["outcome"], outcome["error"]) == ("succeeded", None)
    assert outcome["result"]["facts"] == {"policy": "Shielded"}
    assert parts.machines.states == {VM: "running"}
    assert list(parts.config.state.jobs.iterdir()) == []


def test_progress_carries_the_steps_of_the_job(parts: Parts) -> None:
    tasks.provision_vm(JOB, SPEC)
    progress = parts.broker.of("fabric.job_progressed")
    assert [item["step"] for item in progress][:1] == ["fetch"]
    assert progress[-1]["percent"] == 100


def test_unattested_host_makes_nothing_and_says_why(parts: Parts) -> None:
    parts.hgs.refusal = AttestationFailed("host-unauthorized-host", "This host is not attested.", "Register it.")
    tasks.provision_vm(JOB, SPEC)
    assert parts.outcome()["outcome"] == "failed"
    assert parts.outcome()["error"]["code"] == "host-unauthorized-host"
    assert parts.machines.states == {}


def test_machine_that_does_not_start_is_removed_again(parts: Parts) -> None:
    parts.machines.failures["start"] = HostError("vm-no-heartbeat", "No sign of life.", "Look.")
    tasks.provision_vm(JOB, SPEC)
    assert parts.outcome()["error"]["code"] == "vm-no-heartbeat"
    assert parts.machines.states == {}


def test_refusal_by_hgs_is_named(parts: Parts) -> None:
    parts.machines.failures["provision"] = HgsRefused("Not attested.", reason="HealthCertificateException", status=500)
    tasks.provision_vm(JOB, SPEC)
    assert parts.outcome()["outcome"] == "failed"
    assert "HealthCertificateException" in parts.outcome()["error"]["message"]


def test_bug_shows_only_an_error_id(parts: Parts) -> None:
    parts.machines.failures["start"] = RuntimeError("the secret is hunter2")
    tasks.start_vm(JOB, VM)
    outcome = parts.outcome()
    assert outcome["outcome"] == "errored"
    assert outcome["error"]["code"] == "host-error"
    assert "error id" in outcome["error"]["message"]
    assert "hunter2" not in json.dumps(parts.broker.sent)


@pytest.mark.parametrize(
    "spec", [None, [], {**SPEC, "more": 1}, {**SPEC, "template_sha256": "../../etc/passwd"}, {**SPEC, "id": "x"}]
)
def test_spec_from_the_broker_is_not_believed(parts: Parts, spec: object) -> None:
    tasks.provision_vm(JOB, spec)
    assert parts.outcome()["error"]["code"] == "vm-spec-invalid"


@pytest.mark.parametrize("vm_id", ["../..", 7, None, VM.upper() + "x"])
def test_machine_id_from_the_broker_is_not_believed(parts: Parts, vm_id: object) -> None:
    tasks.remove_vm(JOB, vm_id)
    assert parts.outcome()["outcome"] == "failed"


@pytest.mark.parametrize("job_id", ["../x", 7, None, ""])
def test_job_without_a_name_is_dropped(parts: Parts, job_id: object) -> None:
    tasks.remove_vm(job_id, VM)
    assert parts.broker.sent == []
    assert list(parts.config.state.jobs.iterdir()) == []


def test_a_start_without_hgs_says_how_many_more_there_are(parts: Parts) -> None:
    parts.hgs.away = True
    tasks.start_vm(JOB, VM)
    assert parts.outcome()["result"] == {"offline_starts_left": 2}


def test_a_protector_goes_out_and_comes_back_as_base64(parts: Parts) -> None:
    tasks.export_protector(JOB, VM)
    (exported,) = parts.broker.of("fabric.job_finished")
    document = base64.b64decode(exported["result"]["protector"])
    assert document == b"<Protector/>" + VM.encode()
    parts.broker.sent.clear()
    tasks.replace_protector(JOB, VM, exported["result"]["protector"])
    assert parts.outcome()["result"] == {"sha256": hashlib.sha256(document).hexdigest()}
    assert [item["step"] for item in parts.broker.of("fabric.job_progressed")] == ["replace"]
    parts.broker.sent.clear()
    tasks.restore_protector(JOB, VM)
    assert len(parts.outcome()["result"]["sha256"]) == 64


@pytest.mark.parametrize("protector", [None, 7, "no base64!", base64.b64encode(bytes(256 * 1024 + 3)).decode()])
def test_a_protector_from_the_broker_is_not_believed(parts: Parts, protector: object) -> None:
    tasks.replace_protector(JOB, VM, protector)
    assert parts.outcome()["error"]["code"] == "task-invalid"


def test_the_longest_protector_fits_into_a_result() -> None:
    result = {"protector": base64.b64encode(bytes(PROTECTOR_MAX)).decode()}
    assert len(json.dumps(result)) <= RESULT_LIMIT


def test_force_must_be_a_flag(parts: Parts) -> None:
    tasks.stop_vm(JOB, VM, "yes")
    assert parts.outcome()["error"]["code"] == "task-invalid"


def test_outcome_waits_for_a_broker_that_is_away(parts: Parts) -> None:
    parts.broker.away = True
    tasks.remove_vm(JOB, VM)
    assert parts.broker.sent == []
    parts.broker.away = False
    parts.ledger.report_finished()
    assert parts.outcome()["outcome"] == "succeeded"
    parts.ledger.report_finished()
    assert len(parts.broker.of("fabric.job_finished")) == 1


def test_job_that_a_crash_interrupted_is_reported_as_failed(parts: Parts) -> None:
    parts.ledger.take(JOB, "start_vm")
    after_crash = JobLedger(parts.config.state.jobs, ControlPlane("hv01", parts.broker.send))
    after_crash.report_finished()
    assert parts.outcome()["error"]["code"] == "host-restarted"


def test_job_under_way_is_not_reported_but_kept_alive(parts: Parts) -> None:
    job = parts.ledger.take(JOB, "start_vm")
    assert job is not None
    job.progress("boot", 50, "Booting")
    parts.ledger.report_finished()
    parts.ledger.renew()
    assert parts.broker.of("fabric.job_finished") == []
    assert [item["percent"] for item in parts.broker.of("fabric.job_progressed")] == [50, 50]


def test_message_that_comes_twice_is_done_once(parts: Parts) -> None:
    assert parts.ledger.take(JOB, "start_vm") is not None
    tasks.start_vm(JOB, VM)
    assert parts.machines.states == {}


def test_stopping_host_fails_what_is_under_way(parts: Parts) -> None:
    parts.ledger.take(JOB, "start_vm")
    parts.ledger.interrupt_all()
    assert parts.outcome()["error"]["code"] == "host-restarted"
    assert parts.ledger.idle


def test_report_is_one_that_the_control_plane_reads(parts: Parts) -> None:
    parts.machines.states[VM] = "running"
    assert parts.operations.report()
    (sent,) = parts.broker.of("fabric.host_reported")
    report = messages.HostReport.parse(sent["report"])
    assert report.status == "Passed"
    assert list(report.vms.values()) == ["running"]


def test_a_primary_that_stays_away_is_no_attestation_to_tell_of(parts: Parts) -> None:
    verdict = AttestationState(status="Passed", service="fallback")
    parts.hgs.attest = lambda _reason: verdict  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as logged:
        parts.operations.retry_primary()
        assert logged == []
        parts.hgs.attest = lambda _reason: replace(verdict, service="primary")  # type: ignore[method-assign]
        parts.operations.retry_primary()
    assert [line["event"] for line in logged] == ["attested", "attestation-completed"]


def test_a_verdict_of_the_fallback_is_not_named_to_a_portal_that_cannot_look_it_up(parts: Parts) -> None:
    verdict = AttestationState(status="Passed", attestation_id=JOB, service="fallback")
    parts.hgs.current = lambda: verdict  # type: ignore[method-assign]
    parts.operations.report()
    parts.hgs.current = lambda: replace(verdict, service="primary")  # type: ignore[method-assign]
    parts.operations.report()
    sent = [
        messages.HostReport.parse(item["report"]).attestation_id for item in parts.broker.of("fabric.host_reported")
    ]
    assert [str(item) if item else None for item in sent] == [None, JOB]


def test_heartbeat_is_cut_to_what_the_control_plane_reads(parts: Parts) -> None:
    beat = {"beat": 1, "state": "running", "computer_name": "web01", "uptime": 3, "dry": True}
    ControlPlane("hv01", parts.broker.send).beat(VM, beat)
    (sent,) = parts.broker.of("fabric.vm_heartbeat")
    assert messages.Beat.parse(sent["beat"]).computer_name == "web01"


def test_tasks_outside_an_agent_are_refused(tmp_path: Path) -> None:
    become(None)
    with pytest.raises(RuntimeError, match="only in the agent"):
        tasks.start_vm(JOB, VM)
