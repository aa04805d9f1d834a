"""Pages: hosts and what HGS says of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone

from fabric.commands.hosts import ask_host_to_attest, register_host, rotate_host_token
from fabric.commands.jobs import diagnose_host
from fabric.commands.submissions import capture_baseline, capture_baselines
from fabric.models import Host
from fabric.placement import why_not
from fabric.policy import FabricAction, decide, decide_capture
from fabric.selectors.hosts import history, hosts, last_change
from fabric.web import statuses
from portal.kernel.actor import Actor
from portal.kernel.policy import Decision
from portal.web import status
from portal.web.access import Access
from portal.web.commands import CommandButton, ObjectCommand
from portal.web.tables import BaseTable, NameColumn, NumberColumn, StatusColumn, TimeColumn
from portal.web.views import (
    BulkCommandView,
    CommandView,
    Empty,
    Fact,
    FactGroup,
    ObjectDetailView,
    ObjectListView,
    Outcome,
    PivotOf,
)
from portal.web.views.bulk import ItemResult

HISTORY_PAGE = 50


def _may_attest(actor: Actor, _host: Host) -> Decision:
    return decide(actor, FabricAction.ASK_HOST_TO_ATTEST)


def _may_capture(actor: Actor, host: Host) -> Decision:
    return decide_capture(actor, host)


def _may_renew(actor: Actor, _host: Host) -> Decision:
    return decide(actor, FabricAction.ROTATE_HOST_TOKEN)


ATTEST = ObjectCommand("attest", "Attest", "shield-check", "fabric:host-attest", _may_attest)
DIAGNOSE = ObjectCommand("diagnose", "Diagnose", "stethoscope", "fabric:host-diagnose", _may_attest)
CAPTURE = ObjectCommand(
    "capture", "Capture baseline", "file-check-2", "fabric:host-capture", _may_capture,
    bulk_url_name="fabric:hosts-capture",
)  # fmt: skip
RENEW_TOKEN = ObjectCommand("token", "New token", "key-round", "fabric:host-token", _may_renew, destructive=True)
PIVOTS = (
    PivotOf("dashboard", "Dashboard", "fabric:host", with_object=True),
    PivotOf("history", "Attestations", "fabric:host-history", with_object=True),
    PivotOf("submissions", "Submissions", "fabric:host-submissions", with_object=True),
)


class HostTable(BaseTable):
    name = NameColumn(url=lambda host: reverse("fabric:host", args=[host.pk]), icon=lambda _: "server")
    attestation = StatusColumn(
        of=lambda host: statuses.attestation(host, timezone.now()), verbose_name="Says HGS", order_by="passed"
    )
    connection = StatusColumn(
        of=lambda host: statuses.connection(host, timezone.now()), verbose_name="Agent", order_by="last_report_at"
    )
    certificate_not_after = TimeColumn(verbose_name="Certificate until")
    used_vms = NumberColumn(verbose_name="VMs")
    used_memory = NumberColumn(verbose_name="Memory used, MiB")

    class Meta(BaseTable.Meta):
        narrow = ("name", "attestation")


class HostList(ObjectListView):
    """Hosts and their standing with HGS."""

    access, rail, title = Access.FABRIC, "hosts", "hosts"
    quick_start = "hosts"
    table_class = HostTable
    commands = (ATTEST, CAPTURE, DIAGNOSE)
    empty = Empty("No host is registered yet.", "Register a host", "fabric:host-new")

    def get_rows(self) -> QuerySet[Host]:
        return hosts(self.actor).select_related("last_attestation")

    def get_extra_buttons(self) -> list[CommandButton]:
        return [CommandButton("register", "Register", "plus", reverse("fabric:host-new"))]


class _HostPage(ObjectDetailView):
    access, rail = Access.FABRIC, "hosts"
    parent_url_name, parent_label = "fabric:hosts", "hosts"
    pivots = PIVOTS
    commands = (ATTEST, CAPTURE, DIAGNOSE, RENEW_TOKEN)
    object: Host

    def get_object(self) -> Host:
        return hosts(self.actor).select_related("last_attestation").get(pk=self.kwargs["pk"])

    def get_status(self) -> Any:
        # The reason stands in full below; beside the title the word is enough.
        return replace(statuses.attestation(self.object, timezone.now()), reason="")

    def get_glance(self) -> list[Fact | FactGroup]:
        host, now = self.object, timezone.now()
        reason = why_not(host, now)
        return [
            Fact("Agent", status=statuses.connection(host, now)),
            Fact("Last report", at=host.last_report_at) if host.last_report_at else Fact("Last report", "never"),
            Fact("New VMs", f"none: {reason}" if reason else "may be placed here"),
            Fact("Certificate until", at=host.certificate_not_after)
            if host.certificate_not_after
            else Fact("Certificate", "none", help="HGS gives a health certificate to a host that passes every check."),
            Fact("Address", host.address, help="Where tenants reach the VMs on this host."),
            FactGroup(
                "Capacity",
                [
                    Fact("Virtual machines", f"{getattr(host, 'used_vms', 0)} of {host.max_vms}"),
                    Fact("Processors", f"{getattr(host, 'used_vcpus', 0)} of {host.vcpus}"),
                    Fact("Memory", f"{getattr(host, 'used_memory', 0)} of {host.memory_mib} MiB"),
                ],
            ),
            FactGroup("Agent", [Fact("Version", host.version), Fact("Token", f"gfh_{host.token_key_id}_…")]),
        ]


class HostPage(_HostPage):
    """The last verdict of HGS, check by check, and the VMs here."""

    template_name = "fabric/host.html"
    pivot = "dashboard"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        verdict = self.object.last_attestation
        checks = [(statuses.check(str(one.get("outcome"))), one) for one in (verdict.checks if verdict else ())]
        order = {"failed": 0, "passed": 1}
        checks.sort(key=lambda pair: order.get(pair[1].get("outcome"), 2))
        return super().get_context_data(
            verdict=verdict,
            checks=checks,
            failed=[one for _, one in checks if one.get("outcome") == "failed"],
            since=last_change(self.object),
            placements=self.object.placements.select_related("network", "template"),
            **kwargs,
        )


class HostHistory(_HostPage):
    """Every verdict, newest first."""

    template_name = "fabric/host_history.html"
    pivot = "history"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        outcome = self.request.GET.get("outcome", "")
        page = Paginator(history(self.object, outcome), HISTORY_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(page=page, outcome=outcome, since=last_change(self.object), **kwargs)


class HostSubmissions(_HostPage):
    """What was submitted to HGS about this host."""

    template_name = "fabric/host_submissions.html"
    pivot = "submissions"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        sent = [(statuses.submission(one), one) for one in self.object.submissions.all()]
        return super().get_context_data(submissions=sent, **kwargs)


class HostForm(forms.Form):
    name = forms.CharField(max_length=63, help_text="Small letters, digits and hyphens, for example hv04.")
    address = forms.CharField(
        max_length=255, initial="127.0.0.1", help_text="Host name or IP address at which tenants reach its VMs."
    )


class _ShowsToken(CommandView):
    """A command whose answer shows a token: in this one page, never in an address or a notification."""

    access, rail = Access.FABRIC, "hosts"
    parent_url_name, parent_label = "fabric:hosts", "hosts"
    token: tuple[Host, str]

    def succeed(self, outcome: Outcome) -> HttpResponse:
        host, token = self.token
        context = self.get_context_data(host=host, token=token, form=None, done_url=outcome.url)
        template = "fabric/parts/host_token.html" if self.is_fragment else "fabric/host_token.html"
        return self.response_class(
            self.request, template, context, headers={"Cache-Control": "no-store"}, using=self.template_engine
        )


class HostNew(_ShowsToken):
    """Register a host."""

    title, submit_label, new_item = "register a host", "Register", "host"
    form_class = HostForm

    def run(self, data: dict[str, Any]) -> Outcome:
        self.token = register_host(self.actor, name=data["name"], address=data["address"])
        host = self.token[0]
        return Outcome(reverse("fabric:host", args=[host.pk]), f"Host {host.name} was registered.")


class HostToken(_ShowsToken):
    """Give a host a new token."""

    title, submit_label, destructive, command = "new token", "Make a new token", True, RENEW_TOKEN

    def get_object(self) -> Host:
        return hosts(self.actor).get(pk=self.kwargs["pk"])

    def consequences(self) -> list[str]:
        return [f"The old token of {self.object.name} stops working at once: until its agent is given the new one, "
                "it can fetch no templates and no shielding data."]  # fmt: skip

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        self.token = (self.object, rotate_host_token(self.actor, host=self.object))
        return Outcome(reverse("fabric:host", args=[self.object.pk]), f"Host {self.object.name} has a new token.")


class HostAttest(CommandView):
    """Ask a host to attest now."""

    access, rail, title, submit_label, command = Access.FABRIC, "hosts", "attest now", "Ask it to attest", ATTEST
    parent_url_name, parent_label = "fabric:hosts", "hosts"

    def get_object(self) -> Host:
        return hosts(self.actor).get(pk=self.kwargs["pk"])

    def consequences(self) -> list[str]:
        return [f"{self.object.name} measures itself and shows HGS the result. What comes of it is on its page."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        reason = f"asked by {self.actor.name}"
        ask_host_to_attest(self.actor, host=self.object, reason=reason, now=timezone.now())
        return Outcome(reverse("fabric:host", args=[self.object.pk]), f"{self.object.name} was asked to attest.")


class CaptureForm(forms.Form):
    name = forms.CharField(
        max_length=64, required=False, help_text="Of the baseline at HGS. Left empty, host and date name it."
    )


_ASKS = "HGS has the boot log that it checked. What is captured waits there for the approval of an HGS administrator."


class HostCapture(CommandView):
    """Submit what a host measured last as a new baseline."""

    access, rail, title, submit_label, command = Access.FABRIC, "hosts", "capture baseline", "Submit to HGS", CAPTURE
    parent_url_name, parent_label = "fabric:hosts", "hosts"
    form_class = CaptureForm

    def get_object(self) -> Host:
        return hosts(self.actor).select_related("last_attestation").get(pk=self.kwargs["pk"])

    def consequences(self) -> list[str]:
        return [f"The boot of {self.object.name} becomes a baseline: hosts that boot like it may attest.", _ASKS]

    def run(self, data: dict[str, Any]) -> Outcome:
        submission = capture_baseline(self.actor, host=self.object, name=data["name"].strip())
        waits = "HGS trusts it now." if submission.state == "approved" else "It waits for approval at HGS."
        url = reverse("fabric:host-submissions", args=[self.object.pk])
        return Outcome(url, f"Baseline {submission.name} was submitted. {waits}")


class HostsCapture(BulkCommandView):
    """Submit what many hosts measured last: once for those that booted alike."""

    access, rail, title, submit_label, command = Access.FABRIC, "hosts", "capture baselines", "Submit", CAPTURE
    list_url_name = "fabric:hosts"

    def get_objects(self, ids: Sequence[str]) -> Sequence[Host]:
        return list(hosts(self.actor).select_related("last_attestation").filter(pk__in=ids))

    def consequences(self) -> list[str]:
        return ["Hosts that booted alike give one baseline.", _ASKS]

    def run_all(self, targets: Sequence[Host]) -> list[ItemResult]:
        return [
            ItemResult(", ".join(item.hosts), status.failed("Not captured", item.sentence))
            if item.went_wrong
            else ItemResult(", ".join(item.hosts), status.running(item.sentence))
            for item in capture_baselines(self.actor, hosts=targets)
        ]


class HostDiagnose(CommandView):
    """Have a host check itself."""

    access, rail, title, submit_label, command = Access.FABRIC, "hosts", "diagnose", "Diagnose", DIAGNOSE
    parent_url_name, parent_label = "fabric:hosts", "hosts"

    def get_object(self) -> Host:
        return hosts(self.actor).get(pk=self.kwargs["pk"])

    def consequences(self) -> list[str]:
        return [f"{self.object.name} checks its TPM, its way to HGS and to the library, and tries a key release."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        job = diagnose_host(self.actor, host=self.object)
        name = self.object.name
        return Outcome(
            reverse("web:fabric-job", args=[job.pk]), f"{name} was diagnosed.", str(job.pk),
            started=f"{name} is checking itself.", failed=f"{name} could not finish its checks.",
        )  # fmt: skip
