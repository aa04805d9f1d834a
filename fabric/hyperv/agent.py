"""The process of an emulated host: it boots, attests, takes tasks from its own queue and says how it is.

Life of an agent: lock the state folder, boot (TPM reset and measured boot), take over virtual machines that still run,
report what a crash interrupted, then serve until SIGTERM. HGS, broker or portal being away ends nothing: the host goes
on asking. At the end running virtual machines stay, unless HOST_STOP_VMS says otherwise, and the TPM is switched off.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog
from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

from fabric.hyperv.attestation import FALLBACK, AttestationState
from fabric.hyperv.config import HostConfig
from fabric.hyperv.control_plane import ControlPlane
from fabric.hyperv.errors import HostError
from fabric.hyperv.hgs_client import NO_PROTECTION, HgsClient
from fabric.hyperv.host import Host, become
from fabric.hyperv.job_ledger import JobLedger
from fabric.hyperv.local_guardian import keep_local_guardian
from fabric.hyperv.locks import exclusive
from fabric.hyperv.measured_boot import boot_host
from fabric.hyperv.operations import HostOperations, virtual_machines
from fabric.hyperv.profile import find_profile, parse_profile
from fabric.hyperv.state import write_whole
from fabric.hyperv.virtual_machines import RUNNING
from hgs.attestation.verdict import AttestationStatus
from portal.kernel.readiness import tell_ready

log = structlog.get_logger(__name__)
REPORT_SECONDS: Final = 15.0
_THREADS: Final = 4
_GRACE_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
_REFUSED_PAUSE: Final = 60.0
_GIVE_UP_SOON: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}


class Agent:
    """One host's process. `run` returns when it was told to end."""

    def __init__(self, config: HostConfig, app: Celery, stop_vms: bool, log_level: str = "INFO") -> None:
        self._config = config
        self._app = app
        self._stop_vms = stop_vms
        self._log_level = log_level
        self._ending, self._served = threading.Event(), threading.Event()
        self._roused = threading.Event()
        """Ends the pause of the loop that keeps the host attested."""
        # A host goes on working while the broker is away, so sending must give up soon.
        app.conf.broker_transport_options = {**app.conf.broker_transport_options, **_GIVE_UP_SOON}
        self._control_plane = ControlPlane(config.name, app.send_task)
        self._hgs = HgsClient(config, on_distrust=self._roused.set)
        self._machines = virtual_machines(config, self._hgs)
        self._ledger = JobLedger(config.state.jobs, self._control_plane)
        self._operations = HostOperations(config, self._hgs, self._machines, self._control_plane)

    def run(self) -> None:
        """Serve until SIGTERM. Raises `HostError` if the host cannot boot."""
        with exclusive(self._config.state.agent_lock, seconds=5, what=f"Host {self._config.name}"):
            boot = boot_host(self._config)
            log.info("booted", host=self._config.name, boot=boot.counter, profile=boot.profile.description)
            if self._config.local_guardian:
                log.warning("local-mode", meaning=NO_PROTECTION)
                keep_local_guardian(self._config.local_guardian)
            self._machines.recover()
            become(Host(self._config, self._operations, self._ledger))
            try:
                self._serve()
            finally:
                self._served.set()
                become(None)
                self._end()

    def _serve(self) -> None:
        for work in (self._attend, self._stay_attested, self._watch):
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()
        worker = self._app.Worker(
            hostname=f"{self._config.name}@{socket.gethostname()}",
            queues=[f"host.{self._config.name}"],
            pool="threads",
            concurrency=_THREADS,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel=self._log_level,
            quiet=True,
        )
        worker_ready.connect(_say_ready, weak=False)
        worker_shutting_down.connect(self._begin_to_end, weak=False)
        worker.start()

    def _attend(self) -> None:
        """Say how the host is, keep jobs alive, and deliver outcomes that could not be sent before."""
        while not self._ending.is_set():
            _survive(self._operations.report)
            _survive(self._ledger.report_finished)
            _survive(self._ledger.renew)
            self._ending.wait(REPORT_SECONDS)

    def _watch(self) -> None:
        """Pass on what guests say, and machines that start or stop unasked."""

        def changed(vm_id: str, state: str) -> None:
            if self._operations.states().get(vm_id) == state:
                self._control_plane.vm_state(vm_id, state, "")

        def heard(vm_id: str, beat: dict[str, Any]) -> None:
            self._control_plane.beat(vm_id, beat)

        while not self._ending.is_set():
            _survive(lambda: self._machines.watch(heard, changed, self._ending))
            self._ending.wait(1.0)

    def _stay_attested(self) -> None:
        """Attest at the start, when the certificate runs low, and again and again while refused or not reached.

        While the fallback HGS is in use each round asks the primary, which is used again once it answers.
        """
        reason, failures = "host-started", 0
        while not self._ending.is_set() and not self._config.local_mode:
            state = self._hgs.current()
            if state.service == FALLBACK and not state.needs_renewal(datetime.now(UTC)):
                state = self._operations.retry_primary()
            elif state.needs_renewal(datetime.now(UTC)):
                state = self._operations.attest(reason)
            failures = failures + 1 if state.needs_renewal(datetime.now(UTC)) else 0
            reason = "retry" if failures else "renewal"
            if self._roused.wait(_pause(state, failures)):
                self._roused.clear()
                reason = "certificate-refused"

    def _begin_to_end(self, **_signal: Any) -> None:
        """On SIGTERM Celery waits for tasks without limit; this bounds it."""
        self._ending.set()
        self._roused.set()
        threading.Thread(target=self._end_in_time, name="end-in-time", daemon=True).start()

    def _end_in_time(self) -> None:
        deadline = time.monotonic() + _GRACE_SECONDS
        while not self._ledger.idle and time.monotonic() < deadline:
            time.sleep(0.1)
        self._ledger.interrupt_all()
        if not self._served.wait(_STOP_SECONDS):
            # Celery still waits: for a task that hangs, or for a broker that is away.
            self._end()
            os._exit(0)

    def _end(self) -> None:
        self._ending.set()
        self._roused.set()
        if self._stop_vms:
            _survive(self._stop_machines)
        if not self._config.external_tcti:
            _survive(self._config.state.tpm.switch_off)
        log.info("ended", host=self._config.name)

    def _stop_machines(self) -> None:
        """Shut all virtual machines down side by side; one that does not follow is switched off."""
        running = [vm_id for vm_id, state in self._machines.list().items() if state == RUNNING]
        threads = [threading.Thread(target=_survive, args=(partial(self._stop_machine, vm_id),)) for vm_id in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _stop_machine(self, vm_id: str) -> None:
        try:
            self._machines.stop(vm_id)
        except HostError:
            self._machines.stop(vm_id, force=True)


def keep_profile(config: HostConfig, chosen: str) -> None:
    """Make `chosen` (a name or a file) the host's profile; empty keeps the one it has, else it is `healthy`.

    Raises `ProfileError` for a profile that is none; then the old one stays.
    """
    config.state.create()
    if chosen or not config.state.profile.exists():
        data = find_profile(chosen or "healthy").read_bytes()
        parse_profile(data)
        write_whole(config.state.profile, data)


def _pause(state: AttestationState, failures: int) -> float:
    if not failures:
        return _LONGEST_PAUSE
    if state.status == AttestationStatus.TRANSIENT_ERROR:
        return min(_FIRST_PAUSE * 2.0 ** (failures - 1), _LONGEST_PAUSE)
    return _REFUSED_PAUSE


def _survive(work: Callable[[], object]) -> None:
    """A loop of the agent outlives whatever one round meets; the log tells it."""
    try:
        work()
    except Exception:
        log.exception("agent-round-failed", work=getattr(work, "__name__", "work"))


def _say_ready(**_signal: Any) -> None:
    tell_ready()
