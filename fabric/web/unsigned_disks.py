"""Pages: disks that wait to be signed, and signings that were begun."""

from typing import Any

import django_tables2 as tables
from django import forms
from django.db.models import Count, QuerySet
from django.urls import reverse

from fabric.commands.signing import cancel_signing, choose_disk, discard_signing
from fabric.commands.unsigned_disks import discard_disk, import_disk
from fabric.library import CHUNK_BYTES
from fabric.models import TemplateSigning, UnsignedDisk
from fabric.policy import FabricAction, decide, decide_cancel_signing, decide_change_signing
from fabric.web import statuses
from fabric.web.signing import url_of
from portal.kernel.actor import Actor
from portal.kernel.policy import Decision, Denial
from portal.web.access import Access
from portal.web.commands import CommandButton, ObjectCommand
from portal.web.tables import BaseTable, FingerprintColumn, NameColumn, NumberColumn, StatusColumn, TimeColumn
from portal.web.views import CommandView, Empty, ObjectListView, Outcome


def _may_discard(actor: Actor, disk: UnsignedDisk) -> Decision:
    if getattr(disk, "uses", 0):
        return Denial("A signing names this disk.", "disk-in-use", because_of_state=True)
    return decide(actor, FabricAction.IMPORT_DISK)


DISCARD_DISK = ObjectCommand(
    "discard", "Discard", "trash-2", "fabric:unsigned-disk-discard", _may_discard, destructive=True
)
CANCEL = ObjectCommand("cancel", "Cancel", "x", "fabric:signing-cancel", decide_cancel_signing)
DISCARD = ObjectCommand(
    "discard", "Discard", "trash-2", "fabric:signing-discard", decide_change_signing, destructive=True
)


class UnsignedDiskTable(BaseTable):
    file_name = NameColumn(
        url=lambda _: reverse("fabric:signing-new"), icon=lambda _: "hard-drive", verbose_name="File"
    )
    size = NumberColumn(accessor="blob__size", verbose_name="Size, MiB")
    blob_id = FingerprintColumn(verbose_name="SHA-256", accessor="blob__pk")
    imported_by = tables.Column(verbose_name="Imported by")
    imported_at = TimeColumn(verbose_name="Imported")

    def render_size(self, value: int) -> str:
        return f"{value / (1 << 20):.0f}"

    class Meta(BaseTable.Meta):
        narrow = ("file_name", "size")


class UnsignedDiskList(ObjectListView):
    """Disks that wait to be signed."""

    access, rail, title = Access.FABRIC, "template-disks", "unsigned disks"
    parent_url_name, parent_label = "fabric:templates", "template disks"
    table_class = UnsignedDiskTable
    commands = (DISCARD_DISK,)
    empty = Empty("No disk waits to be signed.", "Upload a disk", "fabric:unsigned-disk-new")

    def get_rows(self) -> QuerySet[UnsignedDisk]:
        return UnsignedDisk.objects.visible_to(self.actor).select_related("blob").annotate(uses=Count("signings"))

    def get_extra_buttons(self) -> list[CommandButton]:
        return [CommandButton("upload", "Upload", "upload", reverse("fabric:unsigned-disk-new"))]


class UnsignedDiskForm(forms.Form):
    disk = forms.FileField(label="Unsigned disk", help_text="VHDX, VHD, qcow2 or raw, with GPT, up to 64 GiB.")
    boot_certificate = forms.FileField(
        label="Boot certificate", required=False, help_text="Of the key that signed its boot program; PEM or DER."
    )


class UnsignedDiskNew(CommandView):
    """Upload a disk that is to be signed; from within a signing it is chosen there."""

    access, rail, title, submit_label = Access.FABRIC, "template-disks", "upload an unsigned disk", "Upload"
    parent_url_name, parent_label = "fabric:unsigned-disks", "unsigned disks"
    form_class = UnsignedDiskForm

    def get_object(self) -> TemplateSigning | None:
        if "pk" not in self.kwargs:
            return None
        return TemplateSigning.objects.visible_to(self.actor).get(pk=self.kwargs["pk"])

    def get_parent(self) -> tuple[str, str] | None:
        if self.object is None:
            return super().get_parent()
        return reverse("fabric:signing-disk", args=[self.object.pk]), "choose a disk"

    def run(self, data: dict[str, Any]) -> Outcome:
        certificate = data["boot_certificate"]
        disk = import_disk(
            self.actor,
            file_name=data["disk"].name,
            disk=data["disk"].chunks(CHUNK_BYTES),
            boot_certificate=certificate.read() if certificate else b"",
        )
        done = f"{disk} is in the library, unsigned."
        if self.object is None:
            return Outcome(reverse("fabric:unsigned-disks"), done)
        if disk.boot_certificate:
            choose_disk(self.actor, signing=self.object, disk=disk)
            return Outcome(reverse("fabric:signing-name", args=[self.object.pk]), done)
        return Outcome(reverse("fabric:signing-disk", args=[self.object.pk]), done)


class UnsignedDiskDiscard(CommandView):
    """Remove a disk that waits to be signed."""

    access, rail, title, submit_label = Access.FABRIC, "template-disks", "discard an unsigned disk", "Discard"
    parent_url_name, parent_label, destructive, command = "fabric:unsigned-disks", "unsigned disks", True, DISCARD_DISK

    def get_object(self) -> UnsignedDisk:
        return UnsignedDisk.objects.visible_to(self.actor).annotate(uses=Count("signings")).get(pk=self.kwargs["pk"])

    def consequences(self) -> list[str]:
        return [f"{self.object} is removed from the library. Templates that were made from it stay."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        discard_disk(self.actor, disk=self.object)
        return Outcome(reverse("fabric:unsigned-disks"), f"{self.object} was discarded.")


class SigningTable(BaseTable):
    name = NameColumn(url=url_of, icon=lambda _: "file-key-2", accessor="pk", orderable=False, verbose_name="Template")
    source = tables.Column(verbose_name="Disk", orderable=False)
    state = StatusColumn(of=statuses.signing, accessor="pk", orderable=False, verbose_name="Status")
    signer = tables.Column(verbose_name="Certificate")
    created_by = tables.Column(verbose_name="Begun by")
    changed_at = TimeColumn(verbose_name="Changed")

    def render_name(self, record: TemplateSigning) -> Any:
        return self.columns["name"].column.render(value=str(record), record=record)

    class Meta(BaseTable.Meta):
        narrow = ("name", "state")


class SigningList(ObjectListView):
    """Signings: drafts, under way, stopped and done."""

    access, rail, title = Access.FABRIC, "template-disks", "signings"
    parent_url_name, parent_label = "fabric:templates", "template disks"
    table_class = SigningTable
    commands = (CANCEL, DISCARD)
    empty = Empty("No template disk was signed here yet.", "Sign a template disk", "fabric:signing-new")

    def get_rows(self) -> QuerySet[TemplateSigning]:
        return TemplateSigning.objects.visible_to(self.actor).select_related("job", "disk")

    def get_extra_buttons(self) -> list[CommandButton]:
        return [CommandButton("sign", "Sign", "file-key-2", reverse("fabric:signing-new"))]


class _OfSigning(CommandView):
    access, rail = Access.FABRIC, "template-disks"
    parent_url_name, parent_label = "fabric:signings", "signings"

    def get_object(self) -> TemplateSigning:
        found = TemplateSigning.objects.visible_to(self.actor).select_related("job", "disk")
        return found.get(pk=self.kwargs["pk"])


class SigningCancel(_OfSigning):
    """Stop a signing; it can be taken up again."""

    title, submit_label, command = "cancel the signing", "Cancel the signing", CANCEL

    def consequences(self) -> list[str]:
        return ["What is hashed is kept. The signing can be taken up again where it was."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        cancel_signing(self.actor, signing=self.object)
        return Outcome(
            reverse("fabric:signing-generate", args=[self.object.pk]), f"The signing of {self.object} was cancelled."
        )


class SigningDiscard(_OfSigning):
    """Forget a signing."""

    title, submit_label, destructive, command = "discard a signing", "Discard", True, DISCARD

    def consequences(self) -> list[str]:
        return ["What was typed and what is hashed are forgotten. The disk stays where it is."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        words = str(self.object)
        discard_signing(self.actor, signing=self.object)
        return Outcome(reverse("fabric:signings"), f"The signing of {words} was discarded.")
