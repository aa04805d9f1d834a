"""Pages: template disks."""

from typing import Any
from uuid import UUID

import django_tables2 as tables
from django import forms
from django.db.models import Count
from django.http import FileResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from fabric.commands.publishing import begin_publishing
from fabric.commands.templates import describe_template, publish_template, retire_template, unretire_template
from fabric.commands.uploads import arrived_upload
from fabric.library import CHUNK_BYTES, limit_of
from fabric.models import BlobKind, TemplateDisk
from fabric.policy import FabricAction, decide, decide_template
from fabric.selectors.template_disks import by_family, covered_by, use_of, versions_of
from fabric.web import statuses
from fabric.web.arriving import ArrivingFileField, ArrivingFileInput
from portal.kernel.actor import Actor
from portal.kernel.models import Job
from portal.kernel.policy import Decision
from portal.web.access import Access, open_to
from portal.web.commands import CommandButton, ObjectCommand
from portal.web.tables import BaseTable, FingerprintColumn, NameColumn, NumberColumn, StatusColumn, TimeColumn
from portal.web.views import CommandView, Empty, Fact, FactGroup, ObjectDetailView, ObjectListView, Outcome


def _may_retire(actor: Actor, template: TemplateDisk) -> Decision:
    return decide_template(actor, FabricAction.RETIRE_TEMPLATE, template)


def _may_unretire(actor: Actor, template: TemplateDisk) -> Decision:
    return decide_template(actor, FabricAction.UNRETIRE_TEMPLATE, template)


def _may_describe(actor: Actor, _template: TemplateDisk) -> Decision:
    return decide(actor, FabricAction.DESCRIBE_TEMPLATE)


RETIRE = ObjectCommand("retire", "Retire", "archive", "fabric:template-retire", _may_retire, destructive=True)
UNRETIRE = ObjectCommand("unretire", "Bring back", "undo-2", "fabric:template-unretire", _may_unretire)
DESCRIBE = ObjectCommand("describe", "Describe", "settings", "fabric:template-describe", _may_describe)


class TemplateTable(BaseTable):
    name = NameColumn(url=lambda disk: reverse("fabric:template", args=[disk.pk]), icon=lambda _: "disc-3")
    version = tables.Column(order_by="version_key")
    release = tables.Column()
    state = StatusColumn(of=statuses.template, accessor="state", verbose_name="Status")
    signer_fingerprint = FingerprintColumn(verbose_name="Signer")
    size = NumberColumn(accessor="disk__size", verbose_name="Size, MiB")
    vms = NumberColumn(verbose_name="VMs")
    published_at = TimeColumn(verbose_name="Published")

    def render_size(self, value: int) -> str:
        return f"{value / (1 << 20):.0f}"

    def group_of(self, record: TemplateDisk) -> str:
        return record.family or "Without a family: not offered to tenants"

    class Meta(BaseTable.Meta):
        narrow = ("name", "version", "state")


class TemplateList(ObjectListView):
    """Template disks by family, each name's newest version first."""

    access, rail, title = Access.FABRIC, "template-disks", "template disks"
    table_class = TemplateTable
    commands = (DESCRIBE, UNRETIRE, RETIRE)
    empty = Empty("No template disk is published yet.", "Publish a template disk", "fabric:template-new")

    def get_rows(self) -> list[TemplateDisk]:
        found = TemplateDisk.objects.visible_to(self.actor).select_related("disk").annotate(vms=Count("placements"))
        return by_family(found)

    def get_extra_buttons(self) -> list[CommandButton]:
        sign = CommandButton("sign", "Sign", "file-key-2", reverse("fabric:signing-new"))
        return [CommandButton("publish", "Publish", "upload", reverse("fabric:template-new")), sign]


class TemplatePage(ObjectDetailView):
    """One template disk: what it is, who signed it, what it proves."""

    access, rail, template_name = Access.FABRIC, "template-disks", "fabric/template.html"
    parent_url_name, parent_label = "fabric:templates", "template disks"
    commands = (DESCRIBE, UNRETIRE, RETIRE)
    object: TemplateDisk

    def get_object(self) -> TemplateDisk:
        return TemplateDisk.objects.visible_to(self.actor).select_related("disk", "catalog").get(pk=self.kwargs["pk"])

    def get_title(self) -> str:
        return str(self.object)

    def get_status(self) -> Any:
        return statuses.template(self.object)

    def get_buttons(self) -> list[CommandButton]:
        catalog = reverse("fabric:template-catalog", args=[self.object.pk])
        return [*super().get_buttons(), CommandButton("catalog", "Catalog", "download", catalog, download=True)]

    def get_glance(self) -> list[Fact | FactGroup]:
        disk = self.object
        return [
            Fact("Family", disk.family),
            Fact("Release", disk.release),
            Fact("Version", disk.version),
            Fact("Published", at=disk.published_at),
            Fact("Published by", disk.published_by),
            Fact("Size", f"{disk.disk.size / (1 << 20):.0f} MiB"),
            FactGroup(
                "Signer",
                [
                    Fact("Name", disk.signer_subject),
                    Fact("Certificate", fingerprint=disk.signer_fingerprint, help="SHA-256 of its DER form."),
                ],
            ),
            FactGroup(
                "Library",
                [
                    Fact("Disk, SHA-256", fingerprint=disk.disk_id),
                    Fact("Catalog, SHA-256", fingerprint=disk.catalog_id),
                ],
            ),
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        disk = self.object
        return super().get_context_data(
            placements=disk.placements.select_related("host"),
            use=use_of(disk),
            versions=versions_of(disk),
            covered=covered_by(disk),
            **kwargs,
        )


class TemplateForm(forms.Form):
    disk = ArrivingFileField(
        label="Template disk",
        help_text="The signed disk, VHDX or raw with GPT, up to 64 GiB.",
        widget=ArrivingFileInput(BlobKind.TEMPLATE_DISK, accept=".vhdx,.raw,.img"),
    )
    catalog = forms.FileField(label="Volume signature catalog", help_text="The .vsc file written when it was signed.")
    family = forms.CharField(
        max_length=64, required=False, help_text="What tenants find it by, such as Debian. Left empty: the disk's name."
    )
    release = forms.CharField(max_length=64, required=False, help_text="Such as 12. Left empty: the disk's version.")
    description = forms.CharField(max_length=500, required=False)


class TemplateNew(CommandView):
    """Publish a template disk."""

    access, rail, title, submit_label = Access.FABRIC, "template-disks", "publish a template disk", "Publish"
    parent_url_name, parent_label, new_item = "fabric:templates", "template disks", "template-disk"
    form_class = TemplateForm

    def run(self, data: dict[str, Any]) -> Outcome:
        catalog, disk = data["catalog"].read(limit_of(BlobKind.CATALOG) + 1), data["disk"]
        words = {name: data[name] for name in ("description", "family", "release")}
        if isinstance(disk, UUID):
            upload = arrived_upload(self.actor, disk, BlobKind.TEMPLATE_DISK, timezone.now())
            return _publishing(begin_publishing(self.actor, catalog=catalog, upload=upload, **words))
        template = publish_template(self.actor, catalog=catalog, disk=disk.chunks(CHUNK_BYTES), **words)
        return Outcome(reverse("fabric:template", args=[template.pk]), f"Template disk {template} was published.")


def _publishing(job: Job) -> Outcome:
    """A disk that was sent in parts is hashed by a worker; its page is there when the job has ended."""
    name = job.target_name
    return Outcome(
        reverse("web:fabric-job", args=[job.pk]), f"Template disk {name} was published.", str(job.pk),
        f"Publishing {name}.", f"{name} was not published. What you sent is kept for another try.",
    )  # fmt: skip


class _Switch(CommandView):
    access, rail = Access.FABRIC, "template-disks"
    parent_url_name, parent_label = "fabric:templates", "template disks"

    def get_object(self) -> TemplateDisk:
        return TemplateDisk.objects.visible_to(self.actor).get(pk=self.kwargs["pk"])


class TemplateDescribeForm(forms.Form):
    family = forms.CharField(max_length=64, required=False, help_text="What tenants find it by, such as Debian.")
    release = forms.CharField(max_length=64, required=False, help_text="Such as 12.")
    description = forms.CharField(max_length=500, required=False)


class TemplateDescribe(_Switch):
    """Change how tenants find a disk."""

    title, submit_label, command, form_class = "describe", "Save", DESCRIBE, TemplateDescribeForm

    def get_title(self) -> str:
        return f"describe {self.object}"

    def get_initial(self) -> dict[str, Any]:
        return {name: getattr(self.object, name) for name in ("family", "release", "description")}

    def consequences(self) -> list[str]:
        return [
            "Tenants are offered disks that have a family and a release. Name, version and signer are the catalog's."
        ]

    def run(self, data: dict[str, Any]) -> Outcome:
        disk = describe_template(self.actor, template=self.object, **data)
        offered = "" if disk.is_on_offer else " It is not offered to tenants."
        return Outcome(reverse("fabric:template", args=[disk.pk]), f"{disk} was described.{offered}")


class TemplateRetire(_Switch):
    """Stop new VMs from being made from a disk."""

    title, submit_label, destructive, command = "retire", "Retire", True, RETIRE

    def consequences(self) -> list[str]:
        return [f"No new virtual machine is made from {self.object}. Those that exist keep running."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        retire_template(self.actor, template=self.object)
        return Outcome(reverse("fabric:template", args=[self.object.pk]), f"{self.object} was retired.")


class TemplateUnretire(_Switch):
    """Let new VMs be made from a disk again."""

    title, submit_label, command = "bring back", "Bring back", UNRETIRE

    def consequences(self) -> list[str]:
        return [f"Tenants whose shielding data trusts {self.object} can make virtual machines from it again."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        unretire_template(self.actor, template=self.object)
        return Outcome(reverse("fabric:template", args=[self.object.pk]), f"{self.object} is available again.")


@require_GET
@open_to(Access.SIGNED_IN)
def catalog(request: Any, pk: str) -> FileResponse:
    """A template's volume signature catalog, for making shielding data that trusts it."""
    found = TemplateDisk.objects.visible_to(request.actor).select_related("catalog")
    template = get_object_or_404(found, pk=pk)
    name = f"{template.name}-{template.version}.vsc".replace(" ", "-")
    return FileResponse(
        template.catalog.path.open("rb"), as_attachment=True, filename=name, content_type="application/xml"
    )
