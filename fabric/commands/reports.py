"""What hosts report, written down after a check of who is speaking.

The portal believes HGS about a host's health, never the host: an attestation id in a report is looked up at HGS and
must be of the host that named it. A host may speak only of jobs and VMs that were given to it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from fabric.commands.jobs import finish_job, remove_leftover
from fabric.dispatch import enqueue
from fabric.guardian_service import fabric_client
from fabric.messages import Beat, HostError, HostReport, MessageRefused
from fabric.models import Assignment, AttestationMode, Host, HostAttestation, HostState, Placement, PowerState
from fabric.workloads import listener
from portal.kernel import audit, jobs
from portal.kernel.actor import host_actor, system_actor
from portal.kernel.models import OPEN_STATES, Job, JobStep, StepState

_POWER = {"running": PowerState.RUNNING, "stopped": PowerState.STOPPED, "failed": PowerState.FAILED}


def record_host_report(name: str, report: HostReport, now: datetime) -> None:
    """Note that the host lives, what it can hold and how its VMs are; a verdict not known yet is fetched by a task.

    Raises `MessageRefused` for an unknown host.
    """
    host = _host(name)
    with transaction.atomic():
        Host.objects.filter(pk=host.pk).update(
            state=HostState.ONLINE, last_report_at=now, version=report.version,
            vcpus=report.capacity.vcpus, memory_mib=report.capacity.memory_mib, max_vms=report.capacity.max_vms,
            last_report=_claim(report),
        )  # fmt: skip
        _record_vms(host, report.vms)
        _keep_waiting_jobs(host, now)
        if report.attestation_id and not HostAttestation.objects.filter(hgs_id=report.attestation_id).exists():
            enqueue("fabric.fetch_attestation", {"host": name, "attestation_id": str(report.attestation_id)})


def record_attestation(name: str, attestation_id: UUID) -> HostAttestation | None:
    """Fetch HGS's verdict by its id and keep it; None if it is known already.

    Raises `MessageRefused` where HGS knows the verdict as another host's, `Conflict` or `Unavailable` from HGS.
    """
    host = _host(name)
    if HostAttestation.objects.filter(hgs_id=attestation_id).exists():
        return None
    with fabric_client() as hgs:
        answer = hgs.attestation(attestation_id)
    verdict = _verdict(host, attestation_id, answer)
    with transaction.atomic():
        kept, created = HostAttestation.objects.get_or_create(hgs_id=attestation_id, defaults={"host": host, **verdict})
        newest = host.attestations.order_by("-at").first()
        if created and newest == kept:
            Host.objects.filter(pk=host.pk).update(
                passed=kept.passed, certificate_not_after=kept.certificate_not_after, last_attestation=kept
            )
        if created:
            audit.record(
                host_actor(str(host.id), host.name), "host:attested" if kept.passed else "host:refused",
                target_type="host", target_id=host.id, scope="fabric", data={"attestation": str(attestation_id)},
                summary=f"HGS {'attested' if kept.passed else 'refused'} host {host.name}: {kept.status}",
            )  # fmt: skip
    return kept if created else None


def record_progress(name: str, job_id: UUID, step: str, percent: int, message: str) -> bool:
    """Note a job's progress; False where the job has ended or has no such step."""
    _require_assignment(name, job_id)
    return jobs.progress(job_id, step, percent, message)


def record_finished(name: str, job_id: UUID, outcome: str, error: HostError | None, result: Mapping[str, Any]) -> bool:
    """End a job as its host says; False where it has ended already."""
    _require_assignment(name, job_id)
    return finish_job(job_id, outcome, error, result)


def record_heartbeat(name: str, vm_id: UUID, beat: Beat, now: datetime) -> None:
    """Note that the guest of a VM lives."""
    changed = Placement.objects.filter(pk=vm_id, host__name=name).update(
        last_heartbeat_at=now,
        last_beat={"beat": beat.beat, "state": beat.state, "computer_name": beat.computer_name, "uptime": beat.uptime},
    )
    if not changed:
        raise MessageRefused(f"host {name} was not given VM {vm_id}")


def record_vm_state(name: str, vm_id: UUID, state: str, reason: str) -> None:
    """Note a VM's state that its host reports unasked."""
    if not Placement.objects.filter(pk=vm_id, host__name=name).exists():
        raise MessageRefused(f"host {name} was not given VM {vm_id}")
    _note_state(vm_id, state, reason)


def _note_state(vm_id: UUID, state: str, reason: str) -> None:
    with transaction.atomic():
        if state in _POWER:
            Placement.objects.filter(pk=vm_id).update(power_state=_POWER[state])
        listener().vm_reported(vm_id, state, reason)


def _record_vms(host: Host, vms: Mapping[UUID, str]) -> None:
    placed = dict(Placement.objects.filter(host=host).values_list("pk", "power_state"))
    for vm_id, state in vms.items():
        if vm_id not in placed and state != "provisioning":
            remove_leftover(system_actor("placement"), host=host, vm_id=vm_id)
        elif vm_id in placed and state in _POWER:
            _note_state(vm_id, state, "")
    for vm_id, power in placed.items():
        if vm_id not in vms and power != PowerState.PLANNED:
            listener().vm_reported(vm_id, "missing", "")


def _keep_waiting_jobs(host: Host, now: datetime) -> None:
    """A job that waits in a living host's queue is not lost, however busy the host is; for a bounded time."""
    given = Assignment.objects.filter(host=host, created_at__gt=now - jobs.QUEUE_PATIENCE).values("job_id")
    begun = JobStep.objects.exclude(state=StepState.PENDING).exclude(key="place")
    for job_id in (
        Job.objects.filter(pk__in=given, state__in=OPEN_STATES)
        .exclude(pk__in=begun.filter(job_id__in=given).values("job_id"))
        .values_list("pk", flat=True)
    ):
        jobs.heartbeat(job_id)


def _host(name: str) -> Host:
    host = Host.objects.filter(name=name).first()
    if host is None:
        raise MessageRefused("no host of that name is registered")
    return host


def _require_assignment(name: str, job_id: UUID) -> None:
    if not Assignment.objects.filter(job_id=job_id, host__name=name).exists():
        raise MessageRefused(f"host {name} was not given job {job_id}")


def _claim(report: HostReport) -> dict[str, Any]:
    return {
        "status": report.status,
        "sub_statuses": list(report.sub_statuses),
        "certificate_not_after": report.certificate_not_after.isoformat() if report.certificate_not_after else None,
        "attestation_id": str(report.attestation_id) if report.attestation_id else None,
    }


def _verdict(host: Host, attestation_id: UUID, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `HostAttestation` from HGS's answer; raises `MessageRefused` where it is not about this host."""
    if answer.get("id") != str(attestation_id):
        raise MessageRefused("HGS answered with another attestation")
    if answer.get("is_rehearsal"):
        raise MessageRefused("a rehearsal is no attestation")
    known_as = answer.get("host_name") or ""
    passed = answer.get("passed") is True
    # HGS cannot name a host whose identity it does not know; that verdict is always a refusal.
    if known_as != host.name and (passed or known_as):
        raise MessageRefused(f"HGS knows this attestation as of {known_as or 'an unnamed host'}, not of {host.name}")
    found = answer.get("verdict")
    verdict: dict[str, Any] = found if isinstance(found, dict) else {}
    not_after = answer.get("certificate_not_after")
    return {
        "at": datetime.fromisoformat(str(answer["at"])),
        "passed": passed,
        "status": str(answer.get("status") or verdict.get("status") or "")[:64],
        "sub_statuses": verdict.get("sub_statuses", []),
        "checks": verdict.get("checks", []),
        "warnings": verdict.get("warnings", []),
        "mode": answer.get("mode") if answer.get("mode") in AttestationMode.values else AttestationMode.TPM,
        "policy_version": 1 if answer.get("policy_version") == 1 else 2,
        "log_sha256": str(answer.get("log_sha256") or "")[:64],
        "ek_hash": str(answer.get("ek_hash") or "")[:128],
        "certificate_not_after": datetime.fromisoformat(str(not_after)) if passed and not_after else None,
    }
