"""Reads about hosts."""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet, Sum

from fabric.models import AttestationState, Host, HostAttestation
from fabric.models.host import HostQuerySet
from portal.kernel.actor import Actor


def hosts(actor: Actor) -> HostQuerySet:
    """Hosts the actor may see, each with `used_vms`, `used_vcpus` and `used_memory`."""
    found = Host.objects.visible_to(actor).order_by("name")  # Meta.ordering does not survive the annotations
    return found.annotate(
        used_vms=Count("placements"),
        used_vcpus=Sum("placements__vcpus", default=0),
        used_memory=Sum("placements__memory_mib", default=0),
    )


def host_by(actor: Actor, reference: str) -> Host:
    """A host by its id or its name; raises `Host.DoesNotExist`."""
    found = hosts(actor).select_related("last_attestation")
    by_name = found.filter(name=reference).first()
    if by_name is not None:
        return by_name
    try:
        return found.get(pk=reference)
    except ValidationError as error:
        raise Host.DoesNotExist from error


def history(host: Host, outcome: str = "") -> QuerySet[HostAttestation]:
    """HGS's verdicts on a host, newest first; `outcome` is `passed`, `refused`, or anything else for all."""
    made = host.attestations.order_by("-at")
    return made.filter(passed=outcome == "passed") if outcome in {"passed", "refused"} else made


def last_change(host: Host) -> HostAttestation | None:
    """The verdict since which HGS says what it says now; None for a host that was never judged."""
    made = host.attestations.order_by("-at")
    newest = made.first()
    if newest is None:
        return None
    before = made.filter(passed=not newest.passed).first()
    same = made.filter(passed=newest.passed)
    return (same.filter(at__gt=before.at) if before else same).last()


def counts(now: datetime) -> dict[AttestationState, int]:
    """How many hosts stand where with HGS."""
    totals = dict.fromkeys(AttestationState, 0)
    for host in Host.objects.only("passed", "certificate_not_after"):
        totals[host.attestation_state(now)] += 1
    return totals


def certificate_left(host: Host, now: datetime) -> timedelta | None:
    """How long HGS's certificate for the host still holds; None without one."""
    if not host.passed or host.certificate_not_after is None or host.certificate_not_after <= now:
        return None
    return host.certificate_not_after - now
