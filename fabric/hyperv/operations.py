"""What a host does when it is asked to: attest, and make, start, stop and remove virtual machines.

This process only carries: content by its hash, requests to HGS and their answers. Keys are opened in the secure worker.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import structlog

from fabric.hyperv.attestation import AttestationState, Attestor
from fabric.hyperv.config import VERSION, HostConfig
from fabric.hyperv.control_plane import ControlPlane
from fabric.hyperv.errors import HostError
from fabric.hyperv.heartbeats import Heartbeats
from fabric.hyperv.spec import VmSpec
from fabric.hyperv.storage import Content, LibraryCopies

log = structlog.get_logger(__name__)
Progress = Callable[[str, int, str], None]
DRY = "dry"
_FIRST_BEAT_SECONDS = 240.0
_UNUSED_COPY_SECONDS = 7 * 24 * 3600.0


class Machines(Protocol):
    """The virtual machines of a host, as `fabric.hyperv.virtual_machines` keeps them."""

    def provision(
        self, spec: VmSpec, health_certificate: bytes, template: Path, catalog: Path, pdk: Path, progress: Progress
    ) -> Any: ...

    def start(self, vm_id: str, health_certificate: bytes, progress: Progress) -> Any: ...

    def stop(self, vm_id: str, force: bool) -> Any: ...

    def remove(self, vm_id: str) -> Any: ...

    def list(self) -> dict[str, str]: ...


class HostOperations:
    """The operations of one host; each virtual machine is worked on by one thread at a time."""

    def __init__(
        self,
        config: HostConfig,
        attestor: Attestor,
        machines: Machines,
        heartbeats: Heartbeats,
        control_plane: ControlPlane,
    ) -> None:
        self._config = config
        self._attestor = attestor
        self._machines = machines
        self._heartbeats = heartbeats
        self._control_plane = control_plane
        self._copies = LibraryCopies(config.state.copies, config.library)
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def attest(self, reason: str) -> AttestationState:
        """Attest now and report what came of it."""
        state = self._attestor.attest(reason)
        log.info("attested", status=state.status, sub_statuses=state.sub_statuses, reason=reason)
        self.report()
        return state

    def report(self) -> bool:
        """Tell the control plane how this host is."""
        state = self._attestor.current()
        return self._control_plane.reported(
            {
                "attestation_id": state.attestation_id,
                "status": state.status,
                "sub_statuses": list(state.sub_statuses),
                "certificate_not_after": state.certificate_not_after,
                "capacity": self._config.capacity.to_json(),
                "vms": self._machines.list(),
                "version": VERSION,
            }
        )

    def provision(self, spec: VmSpec, progress: Progress) -> dict[str, Any]:
        """Make a virtual machine and wait for its first heartbeat; whatever fails, nothing half-made stays.

        Raises `HostError` and the errors of HGS and the secure worker.
        """
        with self._alone(spec.id):
            progress("fetch", 0, "Checking that this host is attested")
            self._attestor.health_certificate()
            template, catalog, pdk = self._fetch(spec, progress)
            # Fetching may take long; the certificate must be good for what follows.
            certificate = self._attestor.health_certificate()
            self._heartbeats.forget(spec.id)
            self._machines.provision(spec, certificate, template, catalog, pdk, progress)
            try:
                self._first_beat(spec.id, progress)
            except HostError:
                self._machines.stop(spec.id, force=True)
                self._machines.remove(spec.id)
                raise
        self._copies.evict(_UNUSED_COPY_SECONDS)
        return {"host": self._config.name, "address": self._config.address, "access_port": spec.access_port}

    def start(self, vm_id: str, progress: Progress) -> dict[str, Any]:
        """Start a virtual machine and wait for its first heartbeat."""
        with self._alone(vm_id):
            progress("release-keys", 0, "Checking that this host is attested")
            certificate = self._attestor.health_certificate()
            self._heartbeats.forget(vm_id)
            self._machines.start(vm_id, certificate, progress)
            self._first_beat(vm_id, progress)
        return {"host": self._config.name}

    def stop(self, vm_id: str, force: bool, progress: Progress) -> dict[str, Any]:
        """Shut a virtual machine down, or switch it off with `force`."""
        with self._alone(vm_id):
            progress("stop", 0, "Switching off" if force else "Asking the guest to shut down")
            self._machines.stop(vm_id, force)
            self._heartbeats.forget(vm_id)
        return {}

    def remove(self, vm_id: str, progress: Progress) -> dict[str, Any]:
        """Remove a virtual machine with its disk and keys; one that is not here is removed already."""
        with self._alone(vm_id):
            progress("remove", 0, "Removing the disk and the virtual TPM")
            self._machines.remove(vm_id)
            self._heartbeats.forget(vm_id)
        return {}

    def _fetch(self, spec: VmSpec, progress: Progress) -> tuple[Path, Path, Path]:
        catalog = self._copies.fetch(spec.catalog_sha256, Content.CATALOG)
        pdk = self._copies.fetch(spec.pdk_sha256, Content.SHIELDING_DATA)
        template = self._copies.raw_disk(
            spec.template_sha256,
            lambda percent: progress("fetch", min(percent, 90), "Copying the template disk to this host"),
        )
        progress("fetch", 100, "The template disk is on this host, its hash is right")
        return template, catalog, pdk

    def _first_beat(self, vm_id: str, progress: Progress) -> None:
        if self._config.hypervisor == DRY:
            progress("heartbeat", 100, "No guest runs with HYPERVISOR=dry")
            return
        heard = self._heartbeats.wait(
            vm_id,
            _FIRST_BEAT_SECONDS,
            alive=lambda: self._machines.list().get(vm_id) in ("running", "starting"),
            waited=lambda share: progress("heartbeat", int(share * 99), "Waiting for the guest's first heartbeat"),
        )
        if not heard:
            raise HostError(
                "no-heartbeat",
                "The virtual machine started, but its guest did not say that it runs.",
                "Its disk may not have unlocked: the boot did not go as the template's catalog says. Create it again.",
            )
        progress("heartbeat", 100, "The guest runs")

    @contextmanager
    def _alone(self, vm_id: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks[vm_id]
        with lock:
            yield
