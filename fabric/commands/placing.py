"""Placing a VM: choose a host, hand the job over to it, or wait a bounded time for one to become fit."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from fabric.commands.jobs import finish_job
from fabric.dispatch import assign_job, enqueue
from fabric.messages import HostError
from fabric.models import Host, Placement
from fabric.placement import Chosen, NoHost, choose_host
from portal.kernel import jobs
from portal.kernel.models import Job

PATIENCE = timedelta(minutes=2)
_WAITS = (2, 4, 8, 15)


def place_vm(job_id: UUID, vm_id: UUID, attempt: int, now: datetime) -> None:
    """Give the VM to the best host, or try again later; after `PATIENCE` the job fails with each host's reason."""
    job = Job.objects.filter(pk=job_id).first()
    if job is None or not job.is_open:
        return
    with transaction.atomic():
        # One placement at a time: two must not both take a host's last place.
        list(Host.objects.select_for_update().order_by("pk").values_list("pk", flat=True))
        placement = Placement.objects.select_related("template", "network").filter(pk=vm_id, host__isnull=True).first()
        if placement is None:
            return
        choice = choose_host(placement.vcpus, placement.memory_mib, now)
        if isinstance(choice, Chosen):
            _hand_over(job_id, placement, choice.host)
        else:
            _wait(job, vm_id, attempt, choice, now)


def vm_spec(placement: Placement) -> dict[str, Any]:
    """What the host is told about the VM: public data only."""
    return {
        "id": str(placement.id),
        "name": placement.name,
        "vcpus": placement.vcpus,
        "memory_mib": placement.memory_mib,
        "specialization": placement.specialization,
        "network": {
            "cidr": placement.network.cidr,
            "address": placement.address,
            "gateway": placement.network.gateway,
            "dns": placement.network.dns,
        },
        "access_port": placement.access_port,
        "template_sha256": placement.template.disk_id,
        "catalog_sha256": placement.template.catalog_id,
        "pdk_sha256": placement.shielding_data_id,
    }


def _hand_over(job_id: UUID, placement: Placement, host: Host) -> None:
    placement.host = host
    placement.save(update_fields=["host"])
    jobs.progress(job_id, "place", 100, f"Placed on {host.name}, which HGS has attested")
    assign_job(job_id, host, "host.provision_vm", {"spec": vm_spec(placement)})


def _wait(job: Job, vm_id: UUID, attempt: int, choice: NoHost, now: datetime) -> None:
    if now - job.created_at >= PATIENCE:
        error = HostError(
            "no-host",
            f"No host could take this VM within {PATIENCE.seconds // 60} minutes. {choice.sentence}",
            "Retry when a host is attested and has room; the fabric administrator sees why each one is not.",
        )
        finish_job(job.pk, "failed", error)
        return
    jobs.progress(job.pk, "place", min(90, 10 * attempt), f"Waiting for a host. {choice.sentence}")
    countdown = _WAITS[min(attempt, len(_WAITS) - 1)]
    again = {"job_id": str(job.pk), "vm_id": str(vm_id), "attempt": attempt + 1}
    enqueue("fabric.place_vm", again, countdown=countdown)
