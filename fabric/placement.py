"""Choosing a host: only hosts that HGS attested, whose certificate still holds, that report, and that have room."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Q, Sum

from fabric.models import AttestationState, Host, Placement

MINIMUM_CERTIFICATE = timedelta(minutes=5)
"""A certificate that ends sooner would not last for a VM's creation."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The host to use."""

    host: Host


@dataclass(frozen=True, slots=True)
class NoHost:
    """Why no host will do, by host name. Empty when there is no host at all."""

    reasons: dict[str, str]

    @property
    def sentence(self) -> str:
        """All reasons in one sentence."""
        if not self.reasons:
            return "No host is registered."
        return "; ".join(f"{name}: {reason}" for name, reason in sorted(self.reasons.items())) + "."


def choose_host(vcpus: int, memory_mib: int, now: datetime, *, without: UUID | None = None) -> Chosen | NoHost:
    """The fitting host with the fewest VMs (then by name), or why each does not fit.

    `without` is a placement not to count, for a VM that is itself being placed.
    """
    counted = Q(placements__isnull=False) & ~Q(placements__id=without)
    hosts = Host.objects.annotate(
        used_vms=Count("placements", filter=counted),
        used_vcpus=Sum("placements__vcpus", filter=counted, default=0),
        used_memory=Sum("placements__memory_mib", filter=counted, default=0),
    ).order_by("used_vms", "name")
    reasons = {}
    for host in hosts:
        reason = _unfit(host, now) or _too_small(host, vcpus, memory_mib)
        if not reason:
            return Chosen(host)
        reasons[host.name] = reason
    return NoHost(reasons)


def why_not(host: Host, now: datetime) -> str:
    """Why the host gets no new VM at all now, or an empty text; what the hosts page shows."""
    return _unfit(host, now)


def _unfit(host: Host, now: datetime) -> str:
    if host.last_report_at is None:
        return "it has never reported"
    if not host.reported_within(now):
        return f"it has not reported since {host.last_report_at:%H:%M:%S} UTC"
    state = host.attestation_state(now)
    if host.in_local_mode:
        return "it is in local mode, in which nothing protects a VM from its host"
    if state is AttestationState.NEVER:
        return "it has not attested"
    if state is AttestationState.REFUSED:
        return "HGS refused its attestation"
    if state is AttestationState.EXPIRED:
        return "its health certificate has ended"
    if host.last_report.get("certificate_not_after") is None:
        return "it says that it holds no health certificate now"
    if host.certificate_not_after and host.certificate_not_after - now < MINIMUM_CERTIFICATE:
        return "its health certificate is about to end"
    return ""


def _too_small(host: Host, vcpus: int, memory_mib: int) -> str:
    used_vms, used_vcpus, used_memory = (getattr(host, name) for name in ("used_vms", "used_vcpus", "used_memory"))
    if used_vms >= host.max_vms:
        return f"it holds {used_vms} of {host.max_vms} VMs"
    if used_vcpus + vcpus > host.vcpus:
        return f"it has {max(0, host.vcpus - used_vcpus)} of {host.vcpus} processors left, {vcpus} needed"
    if used_memory + memory_mib > host.memory_mib:
        return f"it has {max(0, host.memory_mib - used_memory)} of {host.memory_mib} MiB left, {memory_mib} MiB needed"
    return ""


def usage(host: Host) -> dict[str, int]:
    """What the host's VMs take together: `vms`, `vcpus`, `memory_mib`."""
    sums = Placement.objects.filter(host=host).aggregate(
        vms=Count("id"), vcpus=Sum("vcpus", default=0), memory_mib=Sum("memory_mib", default=0)
    )
    return {name: int(value or 0) for name, value in sums.items()}
