"""Pages: a tenant's shielding data files."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import django_tables2 as tables
from django import forms
from django.db.models import Count, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.safestring import SafeString

from fabric.commands.uploads import arrived_upload
from fabric.library import CHUNK_BYTES
from fabric.models import BlobKind, TemplateDisk
from fabric.selectors.guardian import known_guardian
from fabric.selectors.template_disks import newest_first
from fabric.web.arriving import ArrivingFileField, ArrivingFileInput
from portal.web.access import Access
from portal.web.commands import CommandButton, ObjectCommand
from portal.web.tables import BaseTable, ListColumn, NameColumn, StatusColumn, TimeColumn, short_list
from portal.web.views import CommandView, Empty, Fact, FactGroup, ObjectDetailView, ObjectListView, Outcome
from tenants.commands.shielding_data import (
    describe_shielding_data,
    keep_uploaded_shielding_data,
    remove_shielding_data,
    upload_shielding_data,
)
from tenants.matching import fits, qualifiers_of, words_of
from tenants.models import ShieldingData, ShieldingDataKind
from tenants.offline_page.build import offline_page
from tenants.policy import decide_describe_shielding_data, decide_remove_shielding_data
from tenants.selectors.rollover import with_outdated
from tenants.selectors.scope import current_subscription
from tenants.selectors.virtual_machines import subscriptions
from tenants.web import statuses
from tenants.web.key_account import SHIELDING_DATA_PIVOTS

DESCRIBE = ObjectCommand(
    "describe", "Rename", "settings", "tenants:shielding-data-describe", decide_describe_shielding_data
)
REMOVE = ObjectCommand(
    "remove", "Remove", "trash-2", "tenants:shielding-data-remove", decide_remove_shielding_data, destructive=True
)


def _files(view: Any) -> QuerySet[ShieldingData]:
    found = ShieldingData.objects.visible_to(view.actor).select_related("subscription")
    found = found.annotate(vm_count=Count("virtual_machines")).prefetch_related("virtual_machines")
    return with_outdated(found.order_by("name"))


class ShieldingDataTable(BaseTable):
    name = NameColumn(
        url=lambda data: reverse("tenants:shielding-data-file", args=[data.pk]), icon=lambda _: "file-lock-2"
    )
    policy = StatusColumn(of=lambda data: statuses.protection(data.policy), accessor="policy")
    kind = tables.Column(verbose_name="Type")
    guardian = StatusColumn(of=lambda data: statuses.guardian(data.outdated), order_by="outdated")
    trusts = ListColumn()
    fits = ListColumn(verbose_name="Fits here")
    vms = ListColumn(verbose_name="VMs", order_by="vm_count", orderable=True)
    subscription = tables.Column(accessor="subscription__name", verbose_name="Subscription")
    uploaded_at = TimeColumn(verbose_name="Uploaded")

    def render_trusts(self, record: ShieldingData) -> SafeString:
        return short_list([(words_of(each), "") for each in qualifiers_of(record)])

    def render_fits(self, record: ShieldingData) -> SafeString:
        found = [each.template for each in fits(record, self.templates) if each.fits]
        return short_list([(str(one), reverse("tenants:template", args=[one.pk])) for one in found])

    def render_vms(self, record: ShieldingData) -> SafeString:
        found = sorted(record.virtual_machines.all(), key=lambda vm: vm.name)
        return short_list([(vm.name, reverse("tenants:vm", args=[vm.pk])) for vm in found])

    @cached_property
    def templates(self) -> list[TemplateDisk]:
        """What the reader is offered, newest versions first, looked up once for all rows."""
        return newest_first(TemplateDisk.objects.visible_to(self.request.actor))

    class Meta(BaseTable.Meta):
        narrow = ("name", "policy", "guardian")


class ShieldingDataList(ObjectListView):
    """Uploaded shielding data."""

    access, rail, title = Access.TENANT, "shielding-data", "shielding data"
    table_class, commands = ShieldingDataTable, (DESCRIBE, REMOVE)
    template_name, pivots, pivot = "tenants/shielding_data_list.html", SHIELDING_DATA_PIVOTS, "files"
    empty = Empty("You have not uploaded shielding data yet.", "Upload a file", "tenants:shielding-data-new")

    def get_rows(self) -> QuerySet[ShieldingData]:
        return _files(self)

    def hidden_columns(self) -> Sequence[str]:
        """What would say the same in every row: most tenants have one subscription, and files for templates alone."""
        alike = []
        if subscriptions(self.actor).count() <= 1:
            alike.append("subscription")
        if not ShieldingData.objects.visible_to(self.actor).filter(kind=ShieldingDataKind.FOR_EXISTING_VMS).exists():
            alike.append("kind")
        return alike

    def get_extra_buttons(self) -> list[CommandButton]:
        return [
            CommandButton("upload", "Upload", "upload", reverse("tenants:shielding-data-new")),
            CommandButton("guardian", "Guardian", "download", reverse("tenants:guardian")),
            CommandButton("rollover", "Key rollover", "key-round", reverse("tenants:rollover")),
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        templates = TemplateDisk.objects.visible_to(self.actor)
        return super().get_context_data(templates=templates, offline_page=offline_page(), **kwargs)


class ShieldingDataPage(ObjectDetailView):
    """One file: what its owner made readable, and what it fits."""

    access, rail, template_name = Access.TENANT, "shielding-data", "tenants/shielding_data.html"
    parent_url_name, parent_label = "tenants:shielding-data", "shielding data"
    commands = (DESCRIBE, REMOVE)
    object: ShieldingData

    def get_object(self) -> ShieldingData:
        return _files(self).get(pk=self.kwargs["pk"])

    def get_status(self) -> Any:
        return statuses.protection(self.object.policy)

    def get_glance(self) -> list[Fact | FactGroup]:
        data = self.object
        guardians = [Fact(named["name"] or "Guardian", fingerprint=named["fingerprint"]) for named in data.guardians]
        return [
            Fact("Type", data.get_kind_display()),
            Fact("Uploaded", at=data.uploaded_at),
            Fact("Uploaded by", data.uploaded_by),
            Fact("Subscription", data.subscription.name),
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
            fits=fits(data, newest_first(TemplateDisk.objects.visible_to(self.actor))),
            vms=data.virtual_machines.all(),
            **kwargs,
        )


class UploadForm(forms.Form):
    file = ArrivingFileField(
        label="Shielding data file", help_text="The .pdk file from gf pdk new or from the offline page, at most 2 MiB.",
        widget=ArrivingFileInput(BlobKind.SHIELDING_DATA, accept=".pdk,.xml", suggests="name"),
    )  # fmt: skip
    name = forms.CharField(max_length=63, help_text="How you want to find it in lists.")
    description = forms.CharField(max_length=500, required=False)


class ShieldingDataNew(CommandView):
    """Upload a shielding data file."""

    access, rail, title, submit_label = Access.TENANT, "shielding-data", "upload shielding data", "Upload"
    parent_url_name, parent_label, new_item = "tenants:shielding-data", "shielding data", "shielding-data"
    form_class = UploadForm

    def run(self, data: dict[str, Any]) -> Outcome:
        file, subscription = data["file"], current_subscription(self.request)
        words = {"name": data["name"], "description": data["description"]}
        if isinstance(file, UUID):
            upload = arrived_upload(self.actor, file, BlobKind.SHIELDING_DATA, timezone.now())
            kept = keep_uploaded_shielding_data(self.actor, subscription=subscription, upload=upload, **words)
        else:
            chunks = file.chunks(CHUNK_BYTES)
            kept = upload_shielding_data(self.actor, subscription=subscription, file=chunks, **words)
        return Outcome(reverse("tenants:shielding-data-file", args=[kept.pk]), f"{kept.name} was uploaded.")


class DescribeForm(forms.Form):
    name = forms.CharField(max_length=63, help_text="How you want to find it in lists.")
    description = forms.CharField(max_length=500, required=False)


class ShieldingDataDescribe(CommandView):
    """Call a shielding data file otherwise."""

    access, rail, submit_label, form_class = Access.TENANT, "shielding-data", "Save", DescribeForm
    parent_url_name, parent_label, command = "tenants:shielding-data", "shielding data", DESCRIBE

    def get_title(self) -> str:
        return f"rename {self.object.name}"

    def get_object(self) -> ShieldingData:
        return _files(self).get(pk=self.kwargs["pk"])

    def get_initial(self) -> dict[str, Any]:
        return {"name": self.object.name, "description": self.object.description}

    def run(self, data: dict[str, Any]) -> Outcome:
        described = describe_shielding_data(self.actor, data=self.object, **data)
        return Outcome(reverse("tenants:shielding-data-file", args=[described.pk]), f"{described.name} was saved.")


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
