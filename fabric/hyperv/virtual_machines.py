"""The virtual machines of one host: provision, start, stop, remove, watch, and put in order after a crash.

Everything known about a VM lies in its folder, so any process of the host's user may call these; a lock per VM keeps
two operations apart. A VM's folder appears whole, by a rename, or not at all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from fabric.hyperv import offline_key, protector_change, vm_folder
from fabric.hyperv.errors import HostError
from fabric.hyperv.heartbeat import HeartbeatPort
from fabric.hyperv.locks import exclusive
from fabric.hyperv.processes import wait_until
from fabric.hyperv.secure_worker.client import carry_out
from fabric.hyperv.secure_worker.orders import Progress, ProvisionOrder, Release, StartOrder
from fabric.hyperv.spec import SpecError, VmSpec, check_vm_id
from fabric.hyperv.state import read_json, write_json
from fabric.hyperv.tpm import HostTpmAccess
from fabric.hyperv.vm import Machine
from hgs.client import HgsRefused

log = structlog.get_logger(__name__)
HYPERVISORS: Final = ("qemu", "dry")
RUNNING, STOPPED = "running", "stopped"
_MAKING, _REMOVING = ".making-", ".removing-"
_HEARTBEAT_SECONDS: Final = 300.0
_TELL_SECONDS: Final = 5.0
_SHUTDOWN_SECONDS: Final = 60.0
_LOCK_SECONDS: Final = 30.0
_DRY_BEAT_SECONDS: Final = 5.0
# By the specification's names; what else an HGS answers, for example that it is asked too often, decides nothing.
_KEY_REFUSALS: Final = frozenset(
    {"HealthCertificateException", "InvalidProtectorException", "InvalidWrappingException"}
)
ReleaseFor = Callable[[str], Release]
"""The way to HGS for one operation on the VM of that id."""


@dataclass(frozen=True, slots=True)
class ProvisionResult:
    """Public facts of a new VM: policy, owner, template's name, version and signer, boot certificate, SSH host key."""

    vm_id: str
    facts: dict[str, Any]


class VirtualMachines:
    """The VMs below `folder` (absolute; made if missing).

    `release` carries requests for keys to HGS. `hypervisor` is `qemu`, or `dry` for a host that does everything but
    boot the guest. `address` is where guests' access ports are opened. `local_guardian` is the file of the host's own
    guardian, which opens keys instead of HGS in local mode.
    """

    def __init__(
        self,
        folder: Path,
        host_tpm: HostTpmAccess,
        release: ReleaseFor,
        hypervisor: str,
        address: str = "127.0.0.1",
        local_guardian: Path | None = None,
    ) -> None:
        if hypervisor not in HYPERVISORS:
            raise HostError("hypervisor-unknown", f"There is no hypervisor {hypervisor!r}.", "Set qemu or dry.")
        self._folder = folder.resolve()
        self._host_tpm = host_tpm
        self._release = release
        self._dry = hypervisor == "dry"
        self._address = address
        self._local_guardian = local_guardian
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def provision(
        self, spec: VmSpec, health_certificate: bytes, template: Path, catalog: Path, pdk: Path, progress: Progress
    ) -> ProvisionResult:
        """Make the VM from copies of template (raw or VHDX), catalog and shielding data; it is not started.

        Steps reported: release-keys, open-shielding-data, verify-template, specialise, encrypt, seal. Raises
        `HostError`, `SecureWorkerBroken`, or what `release` raises; then nothing of the VM is left.
        """
        target = self._folder / check_vm_id(spec.id)
        with self._locked(spec.id):
            if target.exists():
                raise HostError("vm-exists", f"The VM {spec.name} exists on this host already.", "Remove it first.")
            making = Path(tempfile.mkdtemp(prefix=f"{_MAKING}{spec.id}-", dir=self._folder))
            try:
                order = ProvisionOrder(
                    making, spec, health_certificate, self._host_tpm, template.resolve(), catalog, pdk,
                    self._local_guardian,
                )  # fmt: skip
                facts = carry_out(order, self._release(spec.id), progress)
                (making / vm_folder.RUN).mkdir(mode=0o700)
                write_json(making / vm_folder.RECORD, {"spec": spec.to_json(), "facts": facts})
                making.rename(target)
                _sync(self._folder)
            finally:
                shutil.rmtree(making, ignore_errors=True)
        return ProvisionResult(spec.id, facts)

    def start(self, vm_id: str, health_certificate: bytes, progress: Progress) -> dict[str, Any]:
        """Start a VM and wait for its first heartbeat, which is returned. Steps reported: boot, heartbeat.

        `health_certificate` is empty where no HGS answers. A start without HGS adds `offline_starts_left` to what is
        returned. Raises `HostError`, `SecureWorkerBroken`, or what `release` raises; then nothing of the VM runs.
        """
        with self._locked(vm_id):
            machine, spec = self._machine(vm_id), self._spec(vm_id)
            if self._runs(machine):
                raise HostError("vm-running", f"The VM {spec.name} is running already.")
            machine.end_virtual_tpm()
            machine.prepare_run_folder()
            order = StartOrder(
                machine.folder, vm_id, health_certificate, self._host_tpm, not self._dry, self._local_guardian
            )
            try:
                result = carry_out(order, self._release(vm_id), progress)
                if trouble := result.pop("offline_key_not_kept", ""):
                    log.warning("offline-key-not-kept", vm=vm_id, message=trouble)
                if self._dry:
                    return self._start_dry(machine, spec, progress) | result
                machine.launch(spec)
                progress("boot", 100, "The firmware is verifying and measuring the boot")
                return _first_beat(machine, progress) | result
            except BaseException as error:
                machine.power_off()
                if isinstance(error, HgsRefused):
                    self._heed_refusal(machine.folder, error)
                raise

    def stop(self, vm_id: str, force: bool = False) -> None:
        """Shut a VM down through its guest, or with `force` switch it off. One that is off is fine.

        Raises `HostError` (code `vm-does-not-stop`) if the guest does not shut down in time.
        """
        with self._locked(vm_id):
            machine = self._machine(vm_id)
            if not force and machine.running:
                patience = _SHUTDOWN_SECONDS if machine.ask_to_shut_down() else 0
                if not wait_until(lambda: not machine.running, patience, pause=0.1):
                    raise HostError("vm-does-not-stop", "The guest did not shut down.", "Use force; data may be lost.")
            machine.power_off()
            (machine.run / vm_folder.LAST_BEAT).unlink(missing_ok=True)
            (machine.run / vm_folder.DRY).unlink(missing_ok=True)

    def remove(self, vm_id: str) -> None:
        """Switch a VM off and delete everything of it. One that does not exist is fine."""
        with self._locked(vm_id):
            folder = self._folder / check_vm_id(vm_id)
            if folder.exists():
                Machine(folder).power_off()
                self._forget_offline_key(folder)
                doomed = self._folder / f"{_REMOVING}{vm_id}"
                folder.rename(doomed)
                shutil.rmtree(doomed)

    def export_protector(self, vm_id: str) -> bytes:
        """The VM's key protector as it stands, for its owner to work on. Raises `HostError`."""
        with self._locked(vm_id):
            return protector_change.current_protector(self._machine(vm_id).folder)

    def replace_protector(self, vm_id: str, document: bytes) -> str:
        """Use the owner's new protector from the next start on; gives its SHA-256. Raises `HostError`.

        A key kept for starts without HGS goes: the owner may have taken away the access that it came by.
        """
        with self._locked(vm_id):
            folder = self._machine(vm_id).folder
            return protector_change.replace_protector(folder, document, lambda: self._forget_offline_key(folder))

    def restore_protector(self, vm_id: str) -> str:
        """Go back to the protector from before the last replacement; gives its SHA-256. Raises `HostError`."""
        with self._locked(vm_id):
            return protector_change.restore_protector(self._machine(vm_id).folder)

    def list(self) -> dict[str, str]:
        """VM id → `running` or `stopped`."""
        return {vm_id: RUNNING if self._runs(self._machine(vm_id)) else STOPPED for vm_id in self._ids()}

    def facts(self, vm_id: str) -> dict[str, Any]:
        """The public facts noted when the VM was provisioned. Raises `HostError`."""
        facts: dict[str, Any] = self._record(vm_id)["facts"]
        return facts

    def offline_starts(self) -> dict[str, int]:
        """VM id → how many starts without HGS it has left, for each VM with a kept key. Raises `HostError`."""
        left = {vm_id: offline_key.starts_left(self._folder / vm_id, self._host_tpm) for vm_id in self._ids()}
        return {vm_id: count for vm_id, count in left.items() if count is not None}

    def _heed_refusal(self, folder: Path, refusal: HgsRefused) -> None:
        """HGS gave no key for the VM and said why."""
        if refusal.reason in _KEY_REFUSALS:
            # What HGS gives no longer must not be had from its earlier permission.
            self._forget_offline_key(folder)
        if (folder / vm_folder.PREVIOUS_PROTECTOR).exists():
            undo = f"gf host restore-protector HOST {folder.name}"
            refusal.advice += (
                f" The owner replaced the VM's key protector since its last start; back to the old: {undo}."
            )

    def _forget_offline_key(self, folder: Path) -> None:
        """A TPM that does not answer keeps nothing from being removed; the next boot removes the key from it."""
        try:
            offline_key.forget(folder, self._host_tpm)
        except HostError as error:
            log.warning("offline-key-not-forgotten", vm=folder.name, message=error.message)
            (folder / vm_folder.OFFLINE_KEY).unlink(missing_ok=True)

    def recover(self) -> None:
        """Put in order what a crash left: delete half-made and half-removed VMs, and keys in the TPM that no VM has;
        end virtual TPMs without a machine.

        Machines that still run are left running; `watch` and `stop` find them again.
        """
        for vm_id in self._ids():
            machine = self._machine(vm_id)
            if not machine.running:
                machine.end_virtual_tpm()
        for path in self._folder.iterdir():
            if path.name.startswith((_MAKING, _REMOVING)):
                Machine(path).power_off()
                shutil.rmtree(path, ignore_errors=True)
        try:
            offline_key.remove_orphans((self._folder / vm_id for vm_id in self._ids()), self._host_tpm)
        except HostError as error:
            log.warning("offline-keys-not-put-in-order", message=error.message)

    def watch(
        self,
        on_heartbeat: Callable[[str, dict[str, Any]], None],
        on_state: Callable[[str, str], None] = lambda *_: None,
        stopped: threading.Event | None = None,
        pause: float = 0.5,
    ) -> None:
        """Report heartbeats and changes of state until `stopped` is set. Run it in a thread."""
        end = stopped or threading.Event()
        ports: dict[str, HeartbeatPort] = {}
        states = self.list()
        while not end.wait(pause):
            found = self.list()
            for vm_id, state in found.items():
                if state == RUNNING:
                    for beat in self._beats(vm_id, ports):
                        on_heartbeat(vm_id, beat)
                elif vm_id in ports:
                    ports.pop(vm_id).close()
                if states.get(vm_id, STOPPED) != state:
                    on_state(vm_id, state)
            states = found
        for port in ports.values():
            port.close()

    def _beats(self, vm_id: str, ports: dict[str, HeartbeatPort]) -> Sequence[dict[str, Any]]:
        machine = self._machine(vm_id)
        if self._dry:
            try:
                return _dry_beats(machine)
            except OSError:  # removed meanwhile
                return []
        return ports.setdefault(vm_id, HeartbeatPort(machine.run)).poll()

    def _start_dry(self, machine: Machine, spec: VmSpec, progress: Progress) -> dict[str, Any]:
        progress("boot", 100, "Dry run: the guest is not booted")
        name = spec.specialization.get("@ComputerName@", spec.name)
        write_json(machine.run / vm_folder.DRY, {"computer_name": name, "started": time.time()})
        progress("heartbeat", 100, "Dry run: this heartbeat is the host's own")
        return {"beat": 0, "state": RUNNING, "computer_name": name, "uptime": 0, "dry": True}

    def _runs(self, machine: Machine) -> bool:
        return (machine.run / vm_folder.DRY).exists() if self._dry else machine.running

    def _machine(self, vm_id: str) -> Machine:
        return Machine(self._folder / check_vm_id(vm_id), self._address)

    def _record(self, vm_id: str) -> dict[str, Any]:
        record = read_json(self._folder / check_vm_id(vm_id) / vm_folder.RECORD)
        if record is None:
            raise HostError("vm-unknown", "This host does not have that VM.", "It may have been removed.")
        return record

    def _spec(self, vm_id: str) -> VmSpec:
        return VmSpec.from_json(self._record(vm_id)["spec"])

    def _ids(self) -> Sequence[str]:
        found = []
        for path in sorted(self._folder.iterdir()):
            try:
                found.append(check_vm_id(path.name))
            except SpecError:
                continue
        return found

    @contextmanager
    def _locked(self, vm_id: str) -> Iterator[None]:
        lock = self._folder / f".{check_vm_id(vm_id)}.lock"
        with exclusive(lock, seconds=_LOCK_SECONDS, what="this VM"):
            try:
                yield
            finally:
                if not (self._folder / vm_id).exists():
                    lock.unlink(missing_ok=True)


def _first_beat(machine: Machine, progress: Progress) -> dict[str, Any]:
    port = HeartbeatPort(machine.run)
    began = told = time.monotonic()
    progress("heartbeat", 0, "Waiting for the guest")
    try:
        while (now := time.monotonic()) < began + _HEARTBEAT_SECONDS:
            for beat in port.poll():
                progress("heartbeat", 100 if beat["state"] == RUNNING else 90, f"The guest is {beat['state']}")
                if beat["state"] == RUNNING:
                    return beat
            if not machine.running:
                raise _did_not_unlock()
            if now >= told + _TELL_SECONDS:
                told = now
                # Most of a boot is the firmware hashing the kernel; 20 s without other work on the machine.
                waited = int(now - began)
                progress("heartbeat", min(80, waited * 3), f"Waiting for the guest, {waited} s so far")
            time.sleep(0.1)
    finally:
        port.close()
    raise HostError(
        "vm-no-heartbeat",
        f"The guest gave no sign of life within {_HEARTBEAT_SECONDS:.0f} s.",
        "Start it again; if it repeats, its boot program may have been refused by Secure Boot.",
    )


def _did_not_unlock() -> HostError:
    return HostError(
        "vm-did-not-unlock",
        "The guest switched itself off: this is not the boot its disk is sealed to, or the disk is broken.",
        "Restore the VM's disk and variables as they were, or make the VM anew.",
    )


def _dry_beats(machine: Machine) -> Sequence[dict[str, Any]]:
    """The beat of a dry machine if a new one is due; its number is kept beside the note that says it runs."""
    note = read_json(machine.run / vm_folder.DRY)
    if note is None:
        return []
    uptime = max(0, int(time.time() - note["started"]))
    number = int(uptime / _DRY_BEAT_SECONDS) + 1
    if (read_json(machine.run / vm_folder.LAST_BEAT) or {}).get("beat") == number:
        return []
    name = note["computer_name"]
    beat = {"beat": number, "state": RUNNING, "computer_name": name, "uptime": uptime, "dry": True}
    write_json(machine.run / vm_folder.LAST_BEAT, beat)
    return [beat]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
