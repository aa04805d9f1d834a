"""What the fabric brings to the shell and to the API."""

from fabric.models import Host, Network, TemplateDisk, TemplateSigning
from portal.api.routes import ApiRoutes
from portal.api.routes import register as register_api
from portal.kernel.actor import Actor, Role
from portal.kernel.models import OPEN_STATES, Job
from portal.web.registry import (
    BannerProvider,
    NewItem,
    OverviewProvider,
    Portal,
    RailEntry,
    Routes,
    SearchProvider,
    TargetLink,
)
from portal.web.registry import register as register_shell

API = ApiRoutes(
    "fabric",
    "fabric.api.urls",
    lists=(
        "fabric-api:hosts", "fabric-api:template-disks", "fabric-api:uploads", "fabric-api:unsigned-disks",
        "fabric-api:template-signers", "fabric-api:template-signings", "fabric-api:networks", "fabric-api:guardian",
    ),
)  # fmt: skip


def register() -> None:
    """Register routes, rail entries and the rest."""
    from fabric.web import overview
    from fabric.web.quick_start import QUICK_START

    register_api(API)
    register_shell(
        Routes("fabric", "fabric.web.urls"),
        RailEntry(Portal.FABRIC, "hosts", "Hosts", "server", "fabric:hosts", _hosts, order=10),
        RailEntry(
            Portal.FABRIC, "template-disks", "Template disks", "disc-3", "fabric:templates", _templates, order=20
        ),
        RailEntry(Portal.FABRIC, "networks", "Networks", "network", "fabric:networks", _networks, order=30),
        RailEntry(Portal.FABRIC, "jobs", "Jobs", "activity", "fabric:jobs", _jobs, order=40),
        NewItem(
            Portal.FABRIC, "host", "Hosts", "server", "Host", "server",
            "Make a Hyper-V host known to the fabric and get its token.", "fabric:host-new", order=10,
        ),
        NewItem(
            Portal.FABRIC, "template-disk", "Template disks", "disc-3", "Template disk", "disc-3",
            "Publish a signed disk that shielded VMs are made from.", "fabric:template-new", order=20,
        ),
        NewItem(
            Portal.FABRIC, "network", "Networks", "network", "Network", "network",
            "An address range for tenants' VMs.", "fabric:network-new", order=30,
        ),
        SearchProvider(Portal.FABRIC, "hosts", "Hosts", "server", overview.search_hosts, order=10),
        SearchProvider(Portal.FABRIC, "templates", "Template disks", "disc-3", overview.search_templates, order=20),
        SearchProvider(Portal.FABRIC, "networks", "Networks", "network", overview.search_networks, order=30),
        OverviewProvider(Portal.FABRIC, "fabric", overview.tiles),
        BannerProvider(Portal.FABRIC, "auto-approve", overview.auto_approve_banner),
        TargetLink("host", _host_page),
        TargetLink("template-signing", _signing_page),
        TargetLink("template-disk", _template_page),
        QUICK_START,
    )  # fmt: skip


def _hosts(actor: Actor) -> int:
    return Host.objects.visible_to(actor).count()


def _templates(actor: Actor) -> int:
    return TemplateDisk.objects.visible_to(actor).count()


def _networks(actor: Actor) -> int:
    return Network.objects.visible_to(actor).count()


def _jobs(_actor: Actor) -> int:
    return Job.objects.filter(state__in=OPEN_STATES).count()


def _signing_page(actor: Actor, portal: Portal, target_id: str) -> str:
    from django.urls import reverse

    found = portal is Portal.FABRIC and TemplateSigning.objects.visible_to(actor).filter(pk=target_id).exists()
    return reverse("fabric:signing", args=[target_id]) if found else ""


def _host_page(actor: Actor, portal: Portal, target_id: str) -> str:
    from django.urls import reverse

    visible = portal is Portal.FABRIC and actor.has(Role.FABRIC_ADMIN)
    return reverse("fabric:host", args=[target_id]) if visible and Host.objects.filter(pk=target_id).exists() else ""


def _template_page(actor: Actor, portal: Portal, target_id: str) -> str:
    from django.urls import reverse

    visible = portal is Portal.FABRIC and actor.has(Role.FABRIC_ADMIN)
    there = visible and TemplateDisk.objects.filter(pk=target_id).exists()
    return reverse("fabric:template", args=[target_id]) if there else ""
