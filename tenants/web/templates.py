"""Pages: template disks as tenants see them, and the catalogs that shielding data is made with."""

from typing import Any

import django_tables2 as tables
from django.urls import reverse

from fabric.models import TemplateDisk
from fabric.selectors.template_disks import by_family, covered_by
from portal.web.access import Access
from portal.web.commands import CommandButton
from portal.web.tables import BaseTable, FingerprintColumn, ListColumn, NameColumn, TimeColumn, short_list
from portal.web.views import Empty, Fact, FactGroup, ObjectDetailView, ObjectListView
from tenants.matching import fit
from tenants.models import ShieldingData
from tenants.web.key_account import SHIELDING_DATA_PIVOTS


def _catalog_button(disk: TemplateDisk) -> CommandButton:
    url = reverse("fabric:template-catalog", args=[disk.pk])
    return CommandButton("catalog", "Catalog", "download", url, download=True)


class TemplateTable(BaseTable):
    name = NameColumn(url=lambda disk: reverse("tenants:template", args=[disk.pk]), icon=lambda _: "disc-3")
    version = tables.Column(order_by="version_key")
    release = tables.Column()
    description = tables.Column()
    signer_fingerprint = FingerprintColumn(verbose_name="Signer")
    catalog = ListColumn(verbose_name="Catalog")
    published_at = TimeColumn(verbose_name="Published")

    def render_catalog(self, record: TemplateDisk) -> Any:
        return short_list([(f"Download {record.version}", reverse("fabric:template-catalog", args=[record.pk]))])

    def group_of(self, record: TemplateDisk) -> str:
        return record.family

    class Meta(BaseTable.Meta):
        narrow = ("name", "version", "catalog")


class TemplateList(ObjectListView):
    """Template disks on offer, by family, each name's newest version first."""

    access, rail, title = Access.TENANT, "shielding-data", "shielding data"
    table_class, pivots, pivot = TemplateTable, SHIELDING_DATA_PIVOTS, "templates"
    empty = Empty("The fabric administrator does not offer a template disk yet.")

    def get_rows(self) -> list[TemplateDisk]:
        return by_family(TemplateDisk.objects.visible_to(self.actor))


class TemplatePage(ObjectDetailView):
    """One template disk: what to compare before trusting it, its catalog, and which of one's own files fit it."""

    access, rail, template_name = Access.TENANT, "shielding-data", "tenants/template.html"
    parent_url_name, parent_label = "tenants:templates", "templates"
    object: TemplateDisk

    def get_object(self) -> TemplateDisk:
        return TemplateDisk.objects.visible_to(self.actor).select_related("catalog", "disk").get(pk=self.kwargs["pk"])

    def get_title(self) -> str:
        return str(self.object)

    def get_buttons(self) -> list[CommandButton]:
        return [_catalog_button(self.object)]

    def get_glance(self) -> list[Fact | FactGroup]:
        disk = self.object
        return [
            Fact("Name", disk.name, help="As volume ID qualifiers compare it."),
            Fact("Version", disk.version),
            Fact("Family", disk.family),
            Fact("Release", disk.release),
            Fact("Published", at=disk.published_at),
            Fact("Size", f"{disk.disk.size / (1 << 20):.0f} MiB"),
            FactGroup(
                "Signer",
                [
                    Fact("Name", disk.signer_subject),
                    Fact("Certificate", fingerprint=disk.signer_fingerprint, help="SHA-256 of its DER form."),
                ],
            ),
            FactGroup("Catalog", [Fact("SHA-256", fingerprint=disk.catalog_id)]),
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        own = ShieldingData.objects.visible_to(self.actor).order_by("name")
        fitting = [data for data in own if fit(data, self.object).fits]
        return super().get_context_data(covered=covered_by(self.object), fitting=fitting, **kwargs)
