"""Pages: networks as tenants see them, and the subscription switch."""

import django_tables2 as tables
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from fabric.models import Network
from portal.web.access import Access, open_to
from portal.web.tables import BaseTable, NameColumn, NumberColumn
from portal.web.views import Empty, ObjectListView
from tenants.selectors.scope import SESSION_KEY
from tenants.selectors.virtual_machines import subscriptions


class NetworkTable(BaseTable):
    name = NameColumn(url=lambda network: f"{reverse('tenants:vms')}?network={network.pk}", icon=lambda _: "network")
    description = tables.Column()
    cidr = tables.Column(verbose_name="Range")
    gateway = tables.Column()
    dns = tables.Column(verbose_name="Name server")
    own_vms = NumberColumn(verbose_name="Your VMs")

    class Meta(BaseTable.Meta):
        narrow = ("name", "cidr")


class NetworkList(ObjectListView):
    """Networks that new VMs can be put on."""

    access, rail, title = Access.TENANT, "networks", "networks"
    table_class = NetworkTable
    empty = Empty("The fabric administrator has not made a network yet.")

    def get_rows(self) -> QuerySet[Network]:
        own = Q(virtual_machines__subscription__owner_id=self.actor.id)
        found = Network.objects.visible_to(self.actor).order_by("name")
        return found.annotate(own_vms=Count("virtual_machines", filter=own))


@require_POST
@open_to(Access.TENANT)
def choose_subscription(request: HttpRequest) -> HttpResponse:
    """Work in another of one's own subscriptions from now on."""
    actor = request.actor  # type: ignore[attr-defined]
    wanted = request.POST.get("scope", "")
    chosen = next((one for one in subscriptions(actor) if str(one.pk) == wanted), None)
    if chosen is not None:
        request.session[SESSION_KEY] = str(chosen.pk)
    back = request.POST.get("next", "")
    return HttpResponseRedirect(back if url_has_allowed_host_and_scheme(back, {request.get_host()}) else "/")
