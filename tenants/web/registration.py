"""What tenants bring to the shell and to the API."""

from collections.abc import Iterable, Sequence

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from fabric.models import Network
from portal.api.routes import ApiRoutes
from portal.api.routes import register as register_api
from portal.kernel.actor import Actor, Role
from portal.web.registry import (
    BannerProvider,
    Item,
    ItemProvider,
    JobScopes,
    NewItem,
    OverviewProvider,
    Portal,
    RailEntry,
    Routes,
    ScopeOption,
    ScopeProvider,
    ScopeSwitch,
    SearchHit,
    SearchProvider,
    TargetLink,
)
from portal.web.registry import register as register_shell
from tenants.commands.virtual_machines import scope_of
from tenants.models import ShieldingData, VirtualMachine
from tenants.selectors.scope import SESSION_KEY
from tenants.selectors.virtual_machines import subscriptions, virtual_machines
from tenants.web import rollover, statuses
from tenants.web.quick_start import QUICK_START

API = ApiRoutes(
    "tenants",
    "tenants.api.urls",
    lists=(
        "tenants-api:subscriptions",
        "tenants-api:virtual-machines",
        "tenants-api:shielding-data",
        "tenants-api:key-account-owners",
    ),
)


def register() -> None:
    """Register routes, rail entries and the rest."""
    tenant = Portal.TENANT
    register_api(API)
    register_shell(
        Routes("tenants", "tenants.web.urls"),
        RailEntry(tenant, "virtual-machines", "Virtual machines", "monitor", "tenants:vms", _vms, order=10),
        RailEntry(
            tenant, "shielding-data", "Shielding data", "file-lock-2", "tenants:shielding-data", _files, order=20
        ),
        RailEntry(tenant, "networks", "Networks", "network", "tenants:networks", _networks, order=30),
        NewItem(
            tenant, "virtual-machine", "Virtual machines", "monitor", "Shielded virtual machine", "shield-filled",
            "A name, shielding data and a network; the rest follows.", "tenants:vm-new", order=10,
        ),
        NewItem(
            tenant, "shielding-data", "Shielding data", "file-lock-2", "Shielding data file", "upload",
            "Upload what gf pdk new wrote: your secrets, encrypted for healthy hosts only.",
            "tenants:shielding-data-new", order=20,
        ),
        SearchProvider(tenant, "virtual-machines", "Virtual machines", "monitor", _search_vms, order=10),
        SearchProvider(tenant, "shielding-data", "Shielding data", "file-lock-2", _search_files, order=20),
        ItemProvider(tenant, "virtual-machines", _vm_items, order=10),
        ItemProvider(tenant, "shielding-data", _file_items, order=20),
        ScopeProvider(tenant, "subscription", _switch),
        BannerProvider(tenant, "rollover", rollover.banner),
        OverviewProvider(Portal.FABRIC, "rollover", rollover.fabric_tiles, order=110),
        JobScopes(tenant, "subscriptions", _scopes),
        TargetLink("virtual-machine", _vm_page),
        QUICK_START,
    )  # fmt: skip


def _vms(actor: Actor) -> int:
    return VirtualMachine.objects.visible_to(actor).count()


def _files(actor: Actor) -> int:
    return ShieldingData.objects.visible_to(actor).count()


def _networks(actor: Actor) -> int:
    return Network.objects.visible_to(actor).count()


def _search_vms(actor: Actor, text: str, limit: int) -> Sequence[SearchHit]:
    found = virtual_machines(actor).filter(Q(name__icontains=text) | Q(placement__address__startswith=text))
    now = timezone.now()
    return [
        SearchHit(vm.name, reverse("tenants:vm", args=[vm.pk]), vm.subscription.name, statuses.vm_state(vm, now))
        for vm in found[:limit]
    ]


def _search_files(actor: Actor, text: str, limit: int) -> Sequence[SearchHit]:
    found = ShieldingData.objects.visible_to(actor).filter(
        Q(name__icontains=text) | Q(owner_fingerprint__startswith=text.lower())
    )
    return [
        SearchHit(data.name, _file_url(data), data.owner_name, statuses.protection(data.policy))
        for data in found[:limit]
    ]


def _vm_items(actor: Actor, limit: int) -> Iterable[Item]:
    now = timezone.now()
    for vm in virtual_machines(actor).order_by("-created_at")[:limit]:
        url = reverse("tenants:vm", args=[vm.pk])
        yield Item(vm.name, url, "Virtual machine", "monitor", statuses.vm_state(vm, now), vm.in_transition)


def _file_items(actor: Actor, limit: int) -> Iterable[Item]:
    for data in ShieldingData.objects.visible_to(actor).order_by("-uploaded_at")[:limit]:
        yield Item(data.name, _file_url(data), "Shielding data", "file-lock-2", statuses.protection(data.policy))


def _file_url(data: ShieldingData) -> str:
    return reverse("tenants:shielding-data-file", args=[data.pk])


def _switch(request: HttpRequest) -> ScopeSwitch | None:
    found = list(subscriptions(request.actor))  # type: ignore[attr-defined]
    if len(found) < 2:
        return None
    chosen = request.session.get(SESSION_KEY) or str(found[0].pk)
    options = [ScopeOption(str(one.pk), one.name, str(one.pk) == chosen) for one in found]
    return ScopeSwitch("Subscription", options, reverse("tenants:subscription"))


def _scopes(actor: Actor) -> Iterable[str]:
    return [scope_of(pk) for pk in subscriptions(actor).values_list("pk", flat=True)]


def _vm_page(actor: Actor, portal: Portal, target_id: str) -> str:
    visible = portal is Portal.TENANT and actor.has(Role.TENANT)
    if visible and VirtualMachine.objects.visible_to(actor).filter(pk=target_id).exists():
        return reverse("tenants:vm", args=[target_id])
    return ""
