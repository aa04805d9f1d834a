"""The door through which the fabric tells the VMs' owners what their hosts report.

The fabric does not know tenants: whoever keeps VMs registers one listener. Every call comes after the fabric has
checked that the reporting host is the one that was given the VM or the job.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from fabric.messages import HostError
from fabric.models import TemplateDisk


@dataclass(frozen=True, slots=True)
class Finished:
    """How a job about a VM ended. `outcome` is succeeded, failed, errored or lost."""

    job_id: UUID
    vm_id: UUID
    outcome: str
    error: HostError | None


class WorkloadListener(Protocol):
    """What the keeper of VMs offers."""

    def job_finished(self, finished: Finished) -> None:
        """A job about a VM has ended; called inside the transaction that ends the job."""

    def vm_reported(self, vm_id: UUID, state: str, reason: str) -> None:
        """The VM's host says the VM is now in this state without being asked."""


class _Nobody:
    def job_finished(self, finished: Finished) -> None:
        """Nobody keeps VMs."""

    def vm_reported(self, vm_id: UUID, state: str, reason: str) -> None:
        """Nobody keeps VMs."""


_listener: WorkloadListener = _Nobody()


def register_listener(listener: WorkloadListener) -> None:
    """Set the one listener; called from `AppConfig.ready`."""
    global _listener
    _listener = listener


def listener() -> WorkloadListener:
    """The registered listener, or one that does nothing."""
    return _listener


TrustCounter = Callable[[TemplateDisk], Mapping[str, int]]
"""How many shielding data files of each subscription, by its name, trust a template disk."""
_trust: TrustCounter = lambda _template: {}  # noqa: E731


def register_trust(counter: TrustCounter) -> None:
    """Set who counts the shielding data that trusts a template disk; called from `AppConfig.ready`."""
    global _trust
    _trust = counter


def files_that_trust(template: TemplateDisk) -> Mapping[str, int]:
    """How many shielding data files of each subscription trust the disk; numbers alone, nothing of what they say."""
    return _trust(template)
