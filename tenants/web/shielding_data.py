"""Pages: a tenant's shielding data files."""

from collections.abc import Sequence
from typing import Any

import django_tables2 as tables
from django import forms
from django.db.models import Count, QuerySet
from django.urls import reverse

from fabric.library import CHUNK_BYTES
from fabric.models import TemplateDisk
from fabric.selectors.guardian import known_guardian
from portal.web.access import Access
from portal.web.commands import CommandButton, ObjectCommand
from portal.web.tables import BaseTable, FingerprintColumn, NameColumn, NumberColumn, StatusColumn, TimeColumn
from portal.web.views import CommandView, Empty, Fact, FactGroup, ObjectDetailView, ObjectListView, Outcome
from tenants.commands.shielding_data import remove_shielding_data, upload_shielding_data
from tenants.matching import fits
from tenants.models import ShieldingData
from tenants.policy import decide_remove_shielding_data
from tenants.selectors.rollover import outdated_files, with_outdated
from tenants.selectors.scope import current_subscription
from tenants.web import statuses
from tenants.web.key_account import SHIELDING_DATA_PIVOTS

REMOVE = ObjectCommand(
    "remove", "Remove", "trash-2", "tenants:shielding-data-remove", decide_remove_shielding_data, destructive=True
)


def _files(view: Any) -> QuerySet[ShieldingData]:
    found = ShieldingData.objects.visible_to(view.actor).select_related("subscription")
    return with_outdated(found.annotate(vm_count=Count("virtual_machines")).order_by("name"))


class ShieldingDataTable(BaseTable):
    name = NameColumn(
        url=lambda data: reverse("tenants:shielding-data-file", args=[data.pk]), icon=lambda _: "file-lock-2"
    )
    kind = tables.Column(verbose_name="Type")
    policy = StatusColumn(of=lambda data: statuses.protection(data.policy), accessor="policy")
    guardian = StatusColumn(of=lambda data: statuses.guardian(data.outdated), order_by="outdated")
    owner_fingerprint = FingerprintColumn(verbose_name="Owner")
    vm_count = NumberColumn(verbose_name="VMs")
    subscription = tables.Column(accessor="subscription__name", verbose_name="Subscription")
    uploaded_at = TimeColumn(verbose_name="Uploaded")

    class Meta(BaseTable.Meta):
        narrow = ("name", "policy")


class ShieldingDataList(ObjectListView):
    """Uploaded shielding data."""

    access, rail, title = Access.TENANT, "shielding-data", "shielding data"
    table_class, commands = ShieldingDataTable, (REMOVE,)
    template_name, pivots, pivot = "tenants/shielding_data_list.html", SHIELDING_DATA_PIVOTS, "files"
    empty = Empty("You have not uploaded shielding data yet.", "Upload a file", "tenants:shielding-data-new")

    def get_rows(self) -> QuerySet[ShieldingData]:
        return _files(self)

    def hidden_columns(self) -> Sequence[str]:
        return () if outdated_files(self.actor).exists() else ("guardian",)

    def get_extra_buttons(self) -> list[CommandButton]:
        return [
            CommandButton("upload", "Upload", "upload", reverse("tenants:shielding-data-new")),
            CommandButton("guardian", "Guardian", "download", reverse("tenants:guardian")),
            CommandButton("rollover", "Key rollover", "key-round", reverse("tenants:rollover")),
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        templates = TemplateDisk.objects.visible_to(self.actor)
        return super().get_context_data(templates=templates, **kwargs)


class ShieldingDataPage(ObjectDetailView):
    """One file: what its owner made readable, and what it fits."""

    access, rail, template_name = Access.TENANT, "shielding-data", "tenants/shielding_data.html"
    parent_url_name, parent_label, commands = "tenants:shielding-data", "shielding data", (REMOVE,)
    object: ShieldingData

    def get_object(self) -> ShieldingData:
        return _files(self).get(pk=self.kwargs["pk"])

    def get_status(self) -> Any:
        return statuses.protection(self.object.policy)

    def get_glance(self) -> list[Fact | FactGroup]:
        data = self.object
        guardians = [Fact(named["name"] or "Guardian", fingerprint=named["fingerprint"]) for named in data.guardians]
        return [
            Fact("Uploaded", at=data.uploaded_at),
            Fact("Uploaded by", data.uploaded_by),
            Fact("Subscription", data.subscription.name),
            Fact("Type", data.get_kind_display()),
            Fact("Recovery key", "left by the host" if data.escrows_recovery_key else "none",
                 help="Whether its owner can open a VM's disk when the virtual TPM is lost."),
            FactGroup(
                "Owner",
                [
                    Fact("Name", data.owner_name),
                    Fact("Certificate", fingerprint=data.owner_fingerprint,
                         help="SHA-256 of the owner's signing certificate; only its holder can change the file."),
                    Fact("Keys", "Key account", reverse("tenants:key-account", args=[data.owner_fingerprint])),
                ],
            ),
            FactGroup("Guardians", [Fact("State", status=statuses.guardian(data.outdated)), *guardians]),  # type: ignore[attr-defined]
            FactGroup("File", [Fact("SHA-256", fingerprint=data.blob_id)]),
        ]  # fmt: skip

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        data = self.object
        return super().get_context_data(
            fits=fits(data, TemplateDisk.objects.visible_to(self.actor)),
            vms=data.virtual_machines.all(),
            **kwargs,
        )


class UploadForm(forms.Form):
    file = forms.FileField(
        label="Shielding data file", help_text="The .pdk file that gf pdk new wrote, at most 2 MiB.",
        widget=forms.FileInput(attrs={"accept": ".pdk,.xml", "data-max-bytes": str(2 << 20)}),
    )  # fmt: skip
    name = forms.CharField(max_length=63, help_text="How you want to find it in lists.")
    description = forms.CharField(max_length=500, required=False)


class ShieldingDataNew(CommandView):
    """Upload a shielding data file."""

    access, rail, title, submit_label = Access.TENANT, "shielding-data", "upload shielding data", "Upload"
    parent_url_name, parent_label, new_item = "tenants:shielding-data", "shielding data", "shielding-data"
    form_class = UploadForm

    def run(self, data: dict[str, Any]) -> Outcome:
        kept = upload_shielding_data(
            self.actor, subscription=current_subscription(self.request), name=data["name"],
            description=data["description"], file=data["file"].chunks(CHUNK_BYTES),
        )  # fmt: skip
        return Outcome(reverse("tenants:shielding-data-file", args=[kept.pk]), f"{kept.name} was uploaded.")


class ShieldingDataRemove(CommandView):
    """Remove a shielding data file."""

    access, rail, title, submit_label = Access.TENANT, "shielding-data", "remove shielding data", "Remove"
    parent_url_name, parent_label, destructive, command = "tenants:shielding-data", "shielding data", True, REMOVE

    def get_object(self) -> ShieldingData:
        return _files(self).get(pk=self.kwargs["pk"])

    def consequences(self) -> list[str]:
        return [f"{self.object.name} is deleted from this fabric. Your own copy of the file stays as it is."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        remove_shielding_data(self.actor, data=self.object)
        return Outcome(reverse("tenants:shielding-data"), f"{self.object.name} was removed.")


class GuardianPage(ObjectDetailView):
    """The fabric's guardian: what to compare before trusting it, and the download."""

    access, rail, template_name = Access.TENANT, "shielding-data", "tenants/guardian.html"
    parent_url_name, parent_label = "tenants:shielding-data", "shielding data"

    def get_object(self) -> Any:
        return known_guardian()

    def get_title(self) -> str:
        return "this fabric's guardian"

    def get_buttons(self) -> list[CommandButton]:
        reason = "" if self.object else "HGS does not answer now."
        url = reverse("fabric:guardian-metadata")
        return [
            CommandButton("download", "Download", "download", url, reason, download=True),
            CommandButton("rollover", "Key rollover", "key-round", reverse("tenants:rollover")),
        ]
