"""Pages: from an older guardian of this fabric to the present one."""

import tempfile
from collections.abc import Sequence
from typing import Any

import django_tables2 as tables
from django import forms
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET

from portal.kernel.errors import DomainError
from portal.web import status
from portal.web.access import Access, open_to
from portal.web.commands import CommandButton
from portal.web.notifications import notify_failed
from portal.web.registry import Banner, OverviewTile
from portal.web.status import Status
from portal.web.tables import BaseTable, NumberColumn
from portal.web.views import CommandView, Empty, Fact, FactGroup, ObjectDetailView, ObjectListView, Outcome
from tenants.commands.rollover import prepare_rollover
from tenants.commands.rollover_result import ItemResult, apply_rollover
from tenants.commands.rollover_result import Outcome as ItemOutcome
from tenants.models import Subscription
from tenants.rollover.bundle import FILE_MAX, ObjectKind
from tenants.selectors.rollover import (
    ItemState,
    OutdatedItem,
    Rollover,
    outdated_files,
    outdated_vms,
    rollover_of,
    subscriptions_behind,
    write_work_file,
)

WORK_FILE = "rollover.zip"
_SHOWN_MOST = 500
_PAGES = {ObjectKind.VM: "tenants:vm", ObjectKind.SHIELDING_DATA: "tenants:shielding-data-file"}
_NOUNS = {ObjectKind.VM: "Virtual machine", ObjectKind.SHIELDING_DATA: "Shielding data"}


def item_status(item: OutdatedItem) -> Status:
    """An object's place on its way, as shape, word and colour."""
    match item.state:
        case ItemState.FETCHING:
            return status.in_progress("Being fetched")
        case ItemState.READY:
            return status.pending("In the work file")
        case ItemState.REPLACING:
            return status.in_progress("Being taken over")
        case ItemState.FAILED:
            return status.failed("Failed", f"{item.reason} {item.advice}".strip())
        case ItemState.BLOCKED:
            return status.warning("Not reachable", f"{item.reason} {item.advice}".strip())
        case _:
            return status.warning("To be fetched")


def counted(vms: int, files: int) -> str:
    """How much there is, in words: "2 virtual machines and 1 shielding data file"."""
    parts = []
    if vms:
        parts.append(f"{vms} virtual machine{'s' if vms > 1 else ''}")
    if files:
        parts.append(f"{files} shielding data file{'s' if files > 1 else ''}")
    return " and ".join(parts)


class RolloverPage(ObjectDetailView):
    """What names an older guardian, and the way to the present one; follows the work until nothing is left."""

    access, rail, template_name = Access.TENANT, "shielding-data", "tenants/rollover.html"
    parent_url_name, parent_label = "tenants:shielding-data", "shielding data"
    object: Rollover

    def get_object(self) -> Rollover:
        return rollover_of(self.actor)

    def get_title(self) -> str:
        return "key rollover"

    def get_status(self) -> Status:
        if self.object.guardian is None:
            return status.unknown("No guardian known")
        left = len(self.object.items)
        return status.warning(f"{left} to re-grant") if left else status.running("Up to date")

    def in_transition(self) -> bool:
        return self.object.under_way > 0

    def get_buttons(self) -> list[CommandButton]:
        found = self.object
        nothing = "" if found.items else "Nothing names an older guardian."
        fetched = "" if found.to_fetch else "No key protector is left to fetch."
        return [
            CommandButton("prepare", "Fetch", "refresh-cw", reverse("tenants:rollover-prepare"), nothing or fetched),
            CommandButton(
                "work", "Work file", "download", reverse("tenants:rollover-work"), nothing or _wait(found)
            ),
            CommandButton("upload", "Upload result", "upload", reverse("tenants:rollover-upload"), nothing),
        ]  # fmt: skip

    def get_glance(self) -> Sequence[Fact | FactGroup]:
        guardian = self.object.guardian
        if guardian is None:
            return []
        return [
            Fact("Virtual machines", str(self.object.vms)),
            Fact("Shielding data", str(self.object.files)),
            FactGroup(
                "Present guardian",
                [
                    Fact("In force since", at=guardian.since),
                    Fact("Signing certificate", fingerprint=guardian.guardian_fingerprint),
                    Fact("Encryption certificate", fingerprint=guardian.encryption_fingerprint),
                    Fact("HGS was asked", at=guardian.seen_at),
                ],
            ),
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        items = self.object.items
        lines = [
            (item, _NOUNS[item.kind], reverse(_PAGES[item.kind], args=[item.id]), item_status(item))
            for item in items[:_SHOWN_MOST]
        ]
        return super().get_context_data(
            lines=lines,
            more=len(items) - len(lines),
            amount=counted(self.object.vms, self.object.files),
            waiting=_wait(self.object),
            work_file=WORK_FILE,
            **kwargs,
        )


def _wait(found: Rollover) -> str:
    """Why the work file is not complete yet."""
    fetching = found.count(ObjectKind.VM, ItemState.FETCHING)
    if fetching:
        return f"{fetching} key protector{'s are' if fetching > 1 else ' is'} still being fetched."
    return "" if found.ready else "Fetch the key protectors first."


class RolloverPrepare(CommandView):
    """Fetch the key protectors of VMs from their hosts."""

    access, rail, title, submit_label = Access.TENANT, "shielding-data", "fetch key protectors", "Fetch"
    parent_url_name, parent_label = "tenants:rollover", "key rollover"

    def consequences(self) -> list[str]:
        return [
            "The hosts of your virtual machines hand over their key protectors, which say who may open them and hold "
            "no secret in the clear. Running machines go on running.",
            "Do not start a machine until its re-granted key protector is uploaded: every start makes a new one.",
        ]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        prepared = prepare_rollover(self.actor)
        count, left = len(prepared.jobs), len(prepared.left_out)
        said = f"{count} key protector{'s are' if count != 1 else ' is'} being fetched."
        if left:
            said += f" {left} cannot be reached now; the list says why."
        return Outcome(reverse("tenants:rollover"), said)


@require_GET
@open_to(Access.TENANT)
def work_file(request: HttpRequest) -> HttpResponseBase:
    """The work file as it stands."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - FileResponse closes it
    actor = request.actor  # type: ignore[attr-defined]
    try:
        write_work_file(actor, file)
    except DomainError as error:
        file.close()
        notify_failed(actor, "download of the work file", error, request.request_id)  # type: ignore[attr-defined]
        return HttpResponseRedirect(reverse("tenants:rollover"))
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=WORK_FILE, content_type="application/zip")


class ResultForm(forms.Form):
    file = forms.FileField(
        label="Result", help_text="The file that gf key-protector regrant wrote, at most 32 MiB.",
        widget=forms.FileInput(attrs={"accept": ".zip", "data-max-bytes": str(FILE_MAX)}),
    )  # fmt: skip


class RolloverUpload(CommandView):
    """Upload what was re-granted; the answer says for each object what became of it."""

    access, rail, title, submit_label = Access.TENANT, "shielding-data", "upload re-granted keys", "Upload"
    parent_url_name, parent_label = "tenants:rollover", "key rollover"
    form_class = ResultForm
    body_most = FILE_MAX + 64 * 1024
    results: Sequence[ItemResult] = ()

    def run(self, data: dict[str, Any]) -> Outcome:
        self.results = apply_rollover(self.actor, file=data["file"])
        return Outcome(reverse("tenants:rollover"), "")

    def succeed(self, outcome: Outcome) -> HttpResponse:
        refused = [one for one in self.results if one.outcome is ItemOutcome.REFUSED]
        context = self.get_context_data(
            lines=[(one, _NOUNS[one.kind], _result_status(one)) for one in self.results],
            refused=len(refused), taken=len(self.results) - len(refused), done_url=outcome.url, form=None,
        )  # fmt: skip
        self.template_name = "tenants/rollover_results.html"
        return self.render_to_response(context)


def _result_status(one: ItemResult) -> Status:
    match one.outcome:
        case ItemOutcome.DONE | ItemOutcome.UNCHANGED:
            return status.running("Done" if one.outcome is ItemOutcome.DONE else "Unchanged")
        case ItemOutcome.STARTED:
            return status.in_progress("Being taken over")
        case _:
            return status.failed("Not taken", f"{one.message} {one.advice}".strip())


def banner(request: HttpRequest) -> Banner | None:
    """Says on every page but the rollover's own that something names an older guardian."""
    url = reverse("tenants:rollover")
    if request.path.startswith(url):
        return None
    actor = request.actor  # type: ignore[attr-defined]
    vms, files = outdated_vms(actor).count(), outdated_files(actor).count()
    if not vms + files:
        return None
    verb = "names" if vms + files == 1 else "name"
    return Banner(f"{counted(vms, files)} still {verb} an older guardian of this fabric.", "warning", url, "Re-grant")


def fabric_tiles(_actor: Any) -> list[OverviewTile]:
    """For the console's overview: how much of all tenants names an older guardian; nothing while all is well."""
    behind = list(subscriptions_behind())
    if not behind:
        return []
    vms, files = sum(one.outdated_vms for one in behind), sum(one.outdated_files for one in behind)  # type: ignore[attr-defined]
    sentence = f"{counted(vms, files)} of {len(behind)} subscription{'s' if len(behind) > 1 else ''}."
    return [OverviewTile("Older guardian", str(vms + files), sentence, reverse("tenants:fabric-rollover"),
                         status.warning("To be re-granted"))]  # fmt: skip


class BehindTable(BaseTable):
    name = tables.Column(verbose_name="Subscription")
    owner = tables.Column(accessor="owner__username", verbose_name="Owner")
    outdated_vms = NumberColumn(verbose_name="VMs")
    outdated_files = NumberColumn(verbose_name="Shielding data")

    class Meta(BaseTable.Meta):
        narrow = ("name", "outdated_vms", "outdated_files")


class FabricRollover(ObjectListView):
    """For fabric administrators: whose VMs and shielding data name an older guardian, by number alone."""

    access, rail, title = Access.FABRIC, "", "key rollover"
    parent_url_name, parent_label = "web:fabric-home", "overview"
    subtitle = "Only the owners can re-grant their keys; each finds the way in the tenant portal."
    table_class = BehindTable
    empty = Empty("Nothing of any tenant names an older guardian of this fabric.")

    def get_rows(self) -> QuerySet[Subscription]:
        return subscriptions_behind().select_related("owner")
