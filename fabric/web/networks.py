"""Pages: networks of the fabric."""

from typing import Any

import django_tables2 as tables
from django import forms
from django.db.models import Count, QuerySet
from django.urls import reverse

from fabric.commands.networks import create_network
from fabric.models import Network
from portal.web.access import Access
from portal.web.commands import CommandButton
from portal.web.tables import BaseTable, NameColumn, NumberColumn, TimeColumn
from portal.web.views import CommandView, Empty, Fact, FactGroup, ObjectDetailView, ObjectListView, Outcome


class NetworkTable(BaseTable):
    name = NameColumn(url=lambda network: reverse("fabric:network", args=[network.pk]), icon=lambda _: "network")
    cidr = tables.Column(verbose_name="Range")
    gateway = tables.Column()
    used = NumberColumn(verbose_name="Addresses used")
    pool_size = NumberColumn(verbose_name="In the pool", orderable=False)
    created_at = TimeColumn(verbose_name="Created")

    class Meta(BaseTable.Meta):
        narrow = ("name", "cidr")


class NetworkList(ObjectListView):
    """Networks that tenants may use."""

    access, rail, title = Access.FABRIC, "networks", "networks"
    table_class = NetworkTable
    empty = Empty("There is no network yet.", "Create a network", "fabric:network-new")

    def get_rows(self) -> QuerySet[Network]:
        return Network.objects.visible_to(self.actor).annotate(used=Count("placements")).order_by("name")

    def get_extra_buttons(self) -> list[CommandButton]:
        return [CommandButton("create", "Create", "plus", reverse("fabric:network-new"))]


class NetworkPage(ObjectDetailView):
    """One network and who uses its addresses."""

    access, rail, template_name = Access.FABRIC, "networks", "fabric/network.html"
    parent_url_name, parent_label = "fabric:networks", "networks"
    object: Network

    def get_object(self) -> Network:
        return Network.objects.visible_to(self.actor).annotate(used=Count("placements")).get(pk=self.kwargs["pk"])

    def get_glance(self) -> list[Fact | FactGroup]:
        network = self.object
        return [
            Fact("Range", network.cidr),
            Fact("Gateway", network.gateway),
            Fact("Name server", network.dns),
            Fact("Pool", f"{network.first_address} – {network.last_address}"),
            Fact("Addresses used", f"{getattr(network, 'used', 0)} of {network.pool_size}"),
            Fact("Created", at=network.created_at),
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(placements=self.object.placements.select_related("host"), **kwargs)


class NetworkForm(forms.Form):
    name = forms.CharField(max_length=63, help_text="Small letters, digits and hyphens, for example lab.")
    cidr = forms.CharField(label="Address range", max_length=18, help_text="A private range, for example 10.20.0.0/24.")
    gateway = forms.CharField(max_length=15, required=False, help_text="The first address unless you say otherwise.")
    dns = forms.CharField(
        label="Name server", max_length=15, required=False, help_text="The third address unless you say otherwise."
    )
    description = forms.CharField(max_length=500, required=False)
    more_fields = ("gateway", "dns", "description")


class NetworkNew(CommandView):
    """Create a network."""

    access, rail, title, submit_label = Access.FABRIC, "networks", "create a network", "Create network"
    parent_url_name, parent_label, new_item = "fabric:networks", "networks", "network"
    form_class = NetworkForm

    def run(self, data: dict[str, Any]) -> Outcome:
        network = create_network(self.actor, **data)
        return Outcome(reverse("fabric:networks"), f"Network {network.name} was created.")
