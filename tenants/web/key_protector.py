"""Pages: one VM's own key protector, fetched from its host, downloaded, and replaced by what its owner made of it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django import forms
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import http_date
from django.views.decorators.http import require_GET

from fabric.selectors.guardian import guardian_in_force
from hgs.keyprotection.protector_form import PROTECTOR_MAX
from portal.kernel.errors import DomainError
from portal.web import status
from portal.web.access import Access, open_to
from portal.web.commands import CommandButton, ObjectCommand
from portal.web.notifications import notify_failed
from portal.web.status import Status
from portal.web.views import Outcome
from portal.web.views.base import ShellRequest
from tenants.commands.key_protector import Replacement, fetch_key_protector, set_key_protector
from tenants.models import ProtectorState, VirtualMachine, VmKeyProtector
from tenants.pdk_file import NamedGuardian
from tenants.policy import decide_key_protector
from tenants.selectors.key_protector import fetched_protector, protector_of
from tenants.selectors.virtual_machines import virtual_machines
from tenants.web.vm_commands import VmCommandView

PROTECTOR_TYPE: Final = "application/xml"
FETCH = ObjectCommand("fetch-protector", "Fetch", "refresh-cw", "tenants:vm-key-protector-fetch", decide_key_protector)
SET = ObjectCommand("set-protector", "Upload", "upload", "tenants:vm-key-protector-set", decide_key_protector)


def protector_response(vm: VirtualMachine, kept: VmKeyProtector) -> HttpResponse:
    """The fetched document as a file, its SHA-256 and the time of fetching in the headers."""
    digest = base64.b64encode(bytes.fromhex(kept.sha256)).decode()
    headers = {
        "Content-Disposition": f'attachment; filename="{file_name(vm)}"',
        "ETag": f'"{kept.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Cache-Control": "private, no-store",
    }
    if kept.exported_at is not None:
        headers["Last-Modified"] = http_date(kept.exported_at.timestamp())
    return HttpResponse(bytes(kept.document), content_type=PROTECTOR_TYPE, headers=headers)


def file_name(vm: VirtualMachine) -> str:
    """What a VM's key protector is called as a file; a VM's name is letters, digits and hyphens."""
    return f"{vm.name}.protector"


@dataclass(frozen=True)
class GuardianLine:
    """A guardian that can open the VM's key protector. `is_present`: it is this fabric's guardian of now."""

    name: str
    fingerprint: str
    is_present: bool


@dataclass(frozen=True)
class ProtectorSection:
    """What the VM's page says about its key protector.

    `coming`: who can open the one that its host is taking over. `sentence` and `advice`: why the last exchange failed.
    """

    guardians: Sequence[GuardianLine]
    coming: Sequence[GuardianLine]
    state: Status
    fetched_at: datetime | None
    sha256: str
    replaced_at: datetime | None
    fetch: CommandButton
    download: CommandButton
    upload: CommandButton
    file_name: str
    grant: str
    revoke: str
    job_id: UUID | None
    under_way: bool
    sentence: str = ""
    advice: str = ""


def section_of(actor: Any, vm: VirtualMachine) -> ProtectorSection:
    """The section about a VM's key protector."""
    kept = protector_of(vm) or VmKeyProtector(vm=vm)
    busy = "Its host is at work on its key protector." if kept.under_way else ""
    absent = busy or ("" if kept.document else "Fetch it first.")
    fetch, upload = (each.button(actor, vm, vm.pk) for each in (FETCH, SET))
    return ProtectorSection(
        guardians=guardian_lines(vm.guardians),
        coming=guardian_lines(kept.replacement_guardians if kept.state == ProtectorState.REPLACING else ()),
        state=_status(kept),
        fetched_at=kept.exported_at if kept.document else None,
        sha256=kept.sha256,
        replaced_at=kept.replaced_at,
        fetch=CommandButton(fetch.key, "Fetch", fetch.icon, fetch.url, fetch.reason or busy),
        download=CommandButton(
            "download-protector", "Download", "download", reverse("tenants:vm-key-protector-file", args=[vm.pk]), absent
        ),
        upload=CommandButton(upload.key, "Upload changed one", upload.icon, upload.url, upload.reason or absent),
        file_name=file_name(vm),
        grant=_command("grant", vm, ""),
        revoke=_command("revoke", vm, " --notice notice.xml"),
        job_id=kept.job_id,
        under_way=kept.under_way,
        sentence=str(kept.problem.get("message", "")),
        advice=str(kept.problem.get("advice", "")),
    )


def _command(verb: str, vm: VirtualMachine, rest: str) -> str:
    changed = f"--owner owner.guardian --guardian NAME -o {vm.name}-2.protector"
    return f"gf key-protector {verb} {file_name(vm)} {changed}{rest}"


def guardian_lines(named: Sequence[NamedGuardian]) -> list[GuardianLine]:
    """Guardians as a page shows them."""
    present = guardian_in_force()
    return [
        GuardianLine(one["name"], one["fingerprint"], bool(present and one.get("pair") == present.pair))
        for one in named
    ]


def _status(kept: VmKeyProtector) -> Status:
    match kept.state:
        case ProtectorState.EXPORTING:
            return status.in_progress("Being fetched")
        case ProtectorState.EXPORTED:
            return status.running("Fetched")
        case ProtectorState.REPLACING:
            return status.in_progress("Being replaced")
        case ProtectorState.REPLACED:
            return status.running("Replaced")
        case ProtectorState.FAILED:
            return status.failed("Failed")
        case _:
            return status.stopped("Not fetched")


class _OnConfigure(VmCommandView):
    """A command whose way back is the VM's page about what it is made of."""

    def get_parent(self) -> tuple[str, str]:
        return self.page(), self.object.name

    def page(self) -> str:
        return reverse("tenants:vm-configure", args=[self.object.pk])


class KeyProtectorFetch(_OnConfigure):
    """Fetch a VM's key protector from its host."""

    title, submit_label, command = "fetch the key protector of", "Fetch", FETCH

    def consequences(self) -> list[str]:
        name = self.object.name
        return [
            f"The host of {name} hands over its key protector, which says who may open it and holds no secret in the "
            "clear. The machine goes on as it is.",
            f"Do not start {name} until the changed one is in force: every start makes a new key protector, and what "
            "was made of an older one is refused.",
        ]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        job, name = fetch_key_protector(self.actor, vm=self.object), self.object.name
        return Outcome(
            self.page(), f"The key protector of {name} is here.", str(job.pk),
            started=f"The key protector of {name} is being fetched.",
            failed=f"The key protector of {name} was not fetched.",
        )  # fmt: skip


class ProtectorForm(forms.Form):
    file = forms.FileField(
        label="Key protector",
        help_text="The file that gf key-protector grant or revoke wrote, at most 256 KiB.",
        widget=forms.FileInput(attrs={"data-max-bytes": str(PROTECTOR_MAX + 4)}),
    )


class KeyProtectorSet(_OnConfigure):
    """Upload what the owner made of the key protector."""

    title, submit_label, command = "replace the key protector of", "Upload", SET
    form_class = ProtectorForm
    body_most = PROTECTOR_MAX + 64 * 1024

    def consequences(self) -> list[str]:
        name = self.object.name
        return [
            f"Whoever is named in the file can have {name} opened from now on. Look at that list first: "
            "gf key-protector show.",
            f"The host takes it over while {name} goes on as it is; the next start asks the Host Guardian Service "
            "(HGS) with it.",
            f"A file that does not name this fabric's guardian keeps {name} from starting here until you let the "
            "guardian in again.",
            "A guardian that you put out can open the present key until the next start, which makes a new one. A "
            "revocation notice lets HGS refuse the older documents.",
        ]

    def run(self, data: dict[str, Any]) -> Outcome:
        document = data["file"].read(PROTECTOR_MAX + 5)
        taken, name = set_key_protector(self.actor, vm=self.object, document=document), self.object.name
        return Outcome(
            self.page(), f"The key protector of {name} is replaced.", str(taken.job.pk), started=_said(taken),
            failed=f"The key protector of {name} was not replaced.",
        )  # fmt: skip


def _said(taken: Replacement) -> str:
    count = len(taken.guardians)
    said = f"The host of {taken.vm.name} takes over its key protector, which {count or 'no'} guardian"
    said += f"{'' if count == 1 else 's'} can open."
    if taken.names_present_guardian is False:
        said += " This fabric's present guardian is not among them."
    return said


@require_GET
@open_to(Access.TENANT)
def key_protector_file(request: ShellRequest, pk: UUID) -> HttpResponseBase:
    """The key protector as it was fetched last."""
    vm = virtual_machines(request.actor).select_related("key_protector").filter(pk=pk).first()
    if vm is None:
        raise Http404
    try:
        return protector_response(vm, fetched_protector(vm))
    except DomainError as error:
        notify_failed(request.actor, f"download of the key protector of {vm.name}", error, request.request_id)
        return HttpResponseRedirect(reverse("tenants:vm-configure", args=[vm.pk]))
