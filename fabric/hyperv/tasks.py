"""Tasks of the queue `host.<NAME>`. Messages come over the broker, so every argument is checked before it is used.

A message is taken off the queue before the work begins: what a crash interrupts is reported from the host's own ledger
instead of being run a second time.
"""

import base64
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from celery import shared_task

from fabric.hyperv.diagnose import diagnose_host
from fabric.hyperv.errors import TaskRefused
from fabric.hyperv.host import current_host, run_job
from fabric.hyperv.job_ledger import OpenJob
from fabric.hyperv.spec import VmSpec, check_vm_id
from hgs.keyprotection.protector_form import PROTECTOR_MAX

log = structlog.get_logger(__name__)
_DOCUMENT_MAX: Final = 4 * -(-PROTECTOR_MAX // 3)
"""base64 of the longest protector."""


@shared_task(name="host.provision_vm", acks_late=False)
def provision_vm(job_id: object, spec: object) -> None:
    """Make a virtual machine; `spec` is `VmSpec.to_json`."""
    _job(job_id, "provision_vm", lambda job: current_host().operations.provision(VmSpec.from_json(spec), job.progress))


@shared_task(name="host.start_vm", acks_late=False)
def start_vm(job_id: object, vm_id: object) -> None:
    _job(job_id, "start_vm", lambda job: current_host().operations.start(_vm_id(vm_id), job.progress))


@shared_task(name="host.stop_vm", acks_late=False)
def stop_vm(job_id: object, vm_id: object, force: object = False) -> None:
    _job(job_id, "stop_vm", lambda job: current_host().operations.stop(_vm_id(vm_id), _flag(force), job.progress))


@shared_task(name="host.remove_vm", acks_late=False)
def remove_vm(job_id: object, vm_id: object) -> None:
    _job(job_id, "remove_vm", lambda job: current_host().operations.remove(_vm_id(vm_id), job.progress))


@shared_task(name="host.export_protector", acks_late=False)
def export_protector(job_id: object, vm_id: object) -> None:
    """Give the VM's key protector out; the job's result is {"protector": base64}."""
    _job(
        job_id, "export_protector", lambda job: current_host().operations.export_protector(_vm_id(vm_id), job.progress)
    )


@shared_task(name="host.replace_protector", acks_late=False)
def replace_protector(job_id: object, vm_id: object, protector: object) -> None:
    """Use the protector (base64) that the VM's owner made; the job's result is {"sha256": hex}."""
    _job(
        job_id,
        "replace_protector",
        lambda job: current_host().operations.replace_protector(_vm_id(vm_id), _document(protector), job.progress),
    )


@shared_task(name="host.restore_protector", acks_late=False)
def restore_protector(job_id: object, vm_id: object) -> None:
    """Go back to the protector from before the last replacement; the job's result is {"sha256": hex}."""
    _job(
        job_id,
        "restore_protector",
        lambda job: current_host().operations.restore_protector(_vm_id(vm_id), job.progress),
    )


@shared_task(name="host.attest", acks_late=False)
def attest(reason: object = "") -> None:
    if not isinstance(reason, str):
        log.warning("message-refused", task="host.attest")
        return
    current_host().operations.attest(reason[:200])


@shared_task(name="host.diagnose", acks_late=False)
def diagnose(job_id: object) -> None:
    """Look at everything this host needs; the job's result is the list of checks."""
    _job(job_id, "diagnose", lambda _job: diagnose_host(current_host().config).to_json())


def _job(job_id: object, task: str, work: Callable[[OpenJob], Mapping[str, Any]]) -> None:
    """Run the job; a message whose job nobody can name is dropped, since there is nobody to tell."""
    if not isinstance(job_id, str) or not _is_uuid(job_id):
        log.warning("message-refused", task=f"host.{task}")
        return
    run_job(job_id, task, work)


def _vm_id(value: object) -> str:
    if not isinstance(value, str):
        raise TaskRefused("The id of the virtual machine is not a text.")
    return check_vm_id(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TaskRefused("Whether to force is neither true nor false.")
    return value


def _document(value: object) -> bytes:
    if not isinstance(value, str) or len(value) > _DOCUMENT_MAX:
        raise TaskRefused("The key protector is not a text of the permitted length.")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise TaskRefused("The key protector is not base64.") from None


def _is_uuid(value: str) -> bool:
    try:
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False
