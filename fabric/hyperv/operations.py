"""What a host does when it is asked to: attest, and make, start, stop and remove virtual machines.

This process only carries: content by its hash, requests to HGS and their answers. Keys are opened in the secure worker.
"""

import base64
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from fabric.hyperv.attestation import FALLBACK, AttestationState
from fabric.hyperv.client_events import events_of
from fabric.hyperv.config import VERSION, HostConfig
from fabric.hyperv.control_plane import ControlPlane
from fabric.hyperv.hgs_client import HgsClient
from fabric.hyperv.secure_worker.orders import Progress
from fabric.hyperv.spec import VmSpec
from fabric.hyperv.storage import Content, LibraryCopies
from fabric.hyperv.virtual_machines import RUNNING, VirtualMachines

log = structlog.get_logger(__name__)
DRY = "dry"
PRIMARY_RETRY = "primary-retry"
_UNUSED_COPY_SECONDS = 7 * 24 * 3600.0


def virtual_machines(config: HostConfig, hgs: HgsClient) -> VirtualMachines:
    """The virtual machines of the host, whose keys come by way of `hgs`."""
    return VirtualMachines(
        config.state.virtual_machines,
        config.tpm_access,
        hgs.requests,
        config.hypervisor,
        config.address,
        config.local_guardian,
    )


class HostOperations:
    """The operations of one host; each virtual machine is worked on by one thread at a time."""

    def __init__(
        self, config: HostConfig, hgs: HgsClient, machines: VirtualMachines, control_plane: ControlPlane
    ) -> None:
        self._config = config
        self._hgs = hgs
        self._machines = machines
        self._control_plane = control_plane
        self._copies = LibraryCopies(config.state.copies, config.library)
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._under_way: dict[str, str] = {}

    def attest(self, reason: str) -> AttestationState:
        """Attest now and report what came of it."""
        return self._tell(self._hgs.attest(reason), reason)

    def retry_primary(self) -> AttestationState:
        """Ask the primary HGS while the fallback is in use; there is something to tell only if it answers."""
        state = self._hgs.attest(PRIMARY_RETRY)
        return state if state.service == FALLBACK else self._tell(state, PRIMARY_RETRY)

    def _tell(self, state: AttestationState, reason: str) -> AttestationState:
        log.info("attested", status=state.status, sub_statuses=state.sub_statuses, reason=reason, service=state.service)
        for event in events_of(state.status, state.sub_statuses, state.mode):
            log.info(event.name, event_id=event.number, status=state.status, attestation_id=state.attestation_id)
        self.report()
        return state

    def report(self) -> bool:
        """Tell the control plane how this host is."""
        state = self._hgs.current()
        return self._control_plane.reported(
            {
                # The portal can look a verdict up at its own HGS alone.
                "attestation_id": None if state.service == FALLBACK else state.attestation_id,
                "status": state.status,
                "sub_statuses": list(state.sub_statuses),
                "certificate_not_after": state.certificate_not_after,
                "capacity": self._config.capacity.to_json(),
                "vms": self.states(),
                "version": VERSION,
            }
        )

    def states(self) -> dict[str, str]:
        """Virtual machine id -> provisioning, starting, running, stopping or stopped."""
        states = self._machines.list()
        with self._guard:
            return {**states, **self._under_way}

    def provision(self, spec: VmSpec, progress: Progress) -> dict[str, Any]:
        """Make a virtual machine, start it and wait for its first heartbeat; whatever fails, nothing of it stays.

        Raises `HostError`, and the errors of HGS and of the secure worker.
        """
        with self._working_on(spec.id, "provisioning"):
            progress("fetch", 0, "Checking that this host is attested")
            self._hgs.health_certificate()
            template, catalog, pdk = self._fetch(spec, progress)
            # Fetching may take long; the certificate must be good for what follows.
            certificate = self._hgs.health_certificate()
            made = self._machines.provision(spec, certificate, template, catalog, pdk, progress)
            try:
                self._machines.start(spec.id, certificate, progress)
            except Exception:
                self._machines.remove(spec.id)
                raise
        self._copies.evict(_UNUSED_COPY_SECONDS)
        return {"address": self._config.address, "access_port": spec.access_port, "facts": made.facts}

    def start(self, vm_id: str, progress: Progress) -> dict[str, Any]:
        """Start a virtual machine and wait for its first heartbeat; one that runs already is fine.

        Where no HGS answers, a key kept with the permission of HGS may do; the result then says what is left of that.
        """
        with self._working_on(vm_id, "starting"):
            progress("release-keys", 0, "Checking that this host is attested")
            certificate = self._hgs.certificate_if_any_answers()
            if self._machines.list().get(vm_id) == RUNNING:
                return {"already": RUNNING}
            left = self._machines.start(vm_id, certificate, progress).get("offline_starts_left")
        if left is None:
            return {}
        log.warning("started-without-hgs", vm=vm_id, starts_left=left)
        return {"offline_starts_left": left}

    def stop(self, vm_id: str, force: bool, progress: Progress) -> dict[str, Any]:
        """Shut a virtual machine down, or switch it off with `force`."""
        with self._working_on(vm_id, "stopping"):
            progress("stop", 0, "Switching off" if force else "Asking the guest to shut down")
            self._machines.stop(vm_id, force)
        return {}

    def remove(self, vm_id: str, progress: Progress) -> dict[str, Any]:
        """Remove a virtual machine with its disk and keys; one that is not here is removed already."""
        with self._working_on(vm_id, "stopping"):
            progress("remove", 0, "Removing the disk and the virtual TPM")
            self._machines.remove(vm_id)
        return {}

    def export_protector(self, vm_id: str, progress: Progress) -> dict[str, Any]:
        """The VM's key protector, base64: public data, for its owner to work on offline."""
        with self._locked(vm_id):
            progress("export", 0, "Reading the key protector")
            return {"protector": base64.b64encode(self._machines.export_protector(vm_id)).decode()}

    def replace_protector(self, vm_id: str, document: bytes, progress: Progress) -> dict[str, Any]:
        """Use the protector that the VM's owner made from the next start on; the VM may be running meanwhile."""
        with self._locked(vm_id):
            progress("replace", 0, "Checking the key protector")
            return {"sha256": self._machines.replace_protector(vm_id, document)}

    def restore_protector(self, vm_id: str, progress: Progress) -> dict[str, Any]:
        """Go back to the protector from before the last replacement."""
        with self._locked(vm_id):
            progress("restore", 0, "Putting the last key protector back")
            return {"sha256": self._machines.restore_protector(vm_id)}

    def _fetch(self, spec: VmSpec, progress: Progress) -> tuple[Path, Path, Path]:
        catalog = self._copies.fetch(spec.catalog_sha256, Content.CATALOG)
        pdk = self._copies.fetch(spec.pdk_sha256, Content.SHIELDING_DATA)
        template = self._copies.fetch(
            spec.template_sha256,
            Content.TEMPLATE_DISK,
            lambda percent: progress("fetch", min(percent, 90), "Copying the template disk to this host"),
        )
        progress("fetch", 100, "The template disk is on this host, its hash is right")
        return template, catalog, pdk

    @contextmanager
    def _locked(self, vm_id: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks[vm_id]
        with lock:
            yield

    @contextmanager
    def _working_on(self, vm_id: str, state: str) -> Iterator[None]:
        with self._locked(vm_id):
            with self._guard:
                self._under_way[vm_id] = state
            try:
                yield
            finally:
                with self._guard:
                    self._under_way.pop(vm_id, None)
