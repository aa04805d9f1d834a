"""What the fabric shows on the overview, in the search and beside the rail's entries."""

from collections.abc import Iterable, Sequence

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from fabric.models import AttestationState, Host, Network, Placement, Submission, SubmissionState, TemplateDisk
from fabric.selectors.hosts import counts
from fabric.web import statuses
from portal.kernel.actor import Actor
from portal.kernel.models import OPEN_STATES, Job
from portal.web import status
from portal.web.registry import Banner, OverviewTile, SearchHit


def tiles(actor: Actor) -> Iterable[OverviewTile]:
    """The health of the fabric in figures."""
    found = counts(timezone.now())
    total = sum(found.values())
    attested = found[AttestationState.ATTESTED] + found[AttestationState.EXPIRING]
    state = status.attested() if attested else status.warning("No host is attested")
    yield OverviewTile("Attested hosts", f"{attested} of {total}", "HGS gives keys to these alone.",
                       reverse("fabric:hosts"), state)  # fmt: skip
    if refused := found[AttestationState.REFUSED]:
        yield OverviewTile("Refused hosts", str(refused), "They get no keys; each one's page names the failed checks.",
                           reverse("fabric:hosts"), status.refused())  # fmt: skip
    if late := found[AttestationState.EXPIRED] + found[AttestationState.EXPIRING]:
        yield OverviewTile("Certificates ending", str(late), "These hosts are asked to attest again.",
                           reverse("fabric:hosts"), status.expiring())  # fmt: skip
    if pending := Submission.objects.filter(state=SubmissionState.PENDING).count():
        yield OverviewTile("Waiting at HGS", str(pending), "Submitted; an HGS administrator decides.",
                           reverse("fabric:hosts"), status.in_progress("Waiting"))  # fmt: skip
    running = Placement.objects.filter(power_state="running").count()
    yield OverviewTile("Running VMs", str(running), f"{Placement.objects.count()} are placed.", reverse("fabric:hosts"))
    jobs = Job.objects.filter(state__in=OPEN_STATES).count()
    yield OverviewTile("Running jobs", str(jobs), "All tenants together.", reverse("fabric:jobs"))
    templates = TemplateDisk.objects.visible_to(actor).filter(state="available").count()
    yield OverviewTile("Template disks", str(templates), "Signed and available.", reverse("fabric:templates"))


def search_hosts(actor: Actor, text: str, limit: int) -> Sequence[SearchHit]:
    """Hosts by name, address or the name of a VM on them."""
    now = timezone.now()
    found = Host.objects.visible_to(actor).filter(
        Q(name__icontains=text) | Q(address__icontains=text) | Q(placements__name__icontains=text)
    )
    return [
        SearchHit(host.name, reverse("fabric:host", args=[host.pk]), host.address, statuses.attestation(host, now))
        for host in found.select_related("last_attestation").distinct()[:limit]
    ]


def search_templates(actor: Actor, text: str, limit: int) -> Sequence[SearchHit]:
    """Template disks by name, version or signer."""
    found = TemplateDisk.objects.visible_to(actor).filter(
        Q(name__icontains=text) | Q(version__startswith=text) | Q(signer_fingerprint__startswith=text.lower())
    )
    return [
        SearchHit(str(disk), reverse("fabric:template", args=[disk.pk]), disk.signer_subject, statuses.template(disk))
        for disk in found[:limit]
    ]


def search_networks(actor: Actor, text: str, limit: int) -> Sequence[SearchHit]:
    """Networks by name or range."""
    found = Network.objects.visible_to(actor).filter(Q(name__icontains=text) | Q(cidr__startswith=text))
    return [SearchHit(one.name, reverse("fabric:network", args=[one.pk]), one.cidr) for one in found[:limit]]


def auto_approve_banner(request: HttpRequest) -> Banner | None:  # noqa: ARG001
    """Says that HGS approves without a person, where this installation is set so."""
    from django.conf import settings

    if not settings.HGS_AUTO_APPROVE:
        return None
    return Banner(
        "Lab setting: HGS approves whatever the fabric submits (HGS_AUTO_APPROVE). "
        "In production another person approves at HGS.",
        "warning",
    )
