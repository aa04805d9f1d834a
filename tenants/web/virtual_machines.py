"""Pages: a tenant's virtual machines."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import django_filters
import django_tables2 as tables
from django import forms
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from fabric.models import Network, TemplateDisk
from fabric.selectors.hosts import certificate_left
from fabric.web import statuses as fabric_statuses
from portal.kernel.models import AuditEvent, Job
from portal.web.access import Access
from portal.web.jobs import job_status
from portal.web.tables import BaseTable, NameColumn, StatusColumn, TimeColumn
from portal.web.views import CommandView, Empty, Fact, FactGroup, ObjectDetailView, ObjectListView, Outcome, PivotOf
from tenants.commands.virtual_machines import NAME_RULE, create_vm
from tenants.models import ShieldingData, VirtualMachine, VmState
from tenants.quota import usage_of
from tenants.selectors.key_account import entries_of_vm
from tenants.selectors.key_protector import protector_of
from tenants.selectors.rollover import outdated_vms, with_outdated
from tenants.selectors.scope import current_subscription
from tenants.selectors.virtual_machines import virtual_machines
from tenants.web import statuses
from tenants.web.key_account import rows_of, shown
from tenants.web.key_protector import section_of
from tenants.web.vm_commands import VM_COMMANDS

PIVOTS = (
    PivotOf("dashboard", "Dashboard", "tenants:vm", with_object=True),
    PivotOf("configure", "Configure", "tenants:vm-configure", with_object=True),
    PivotOf("keys", "Key account", "tenants:vm-keys", with_object=True),
    PivotOf("activity", "Activity", "tenants:vm-activity", with_object=True),
)


class VmTable(BaseTable):
    name = NameColumn(url=lambda vm: reverse("tenants:vm", args=[vm.pk]), icon=lambda _: "monitor")
    state = StatusColumn(of=lambda vm: statuses.vm_state(vm, timezone.now()), accessor="state", verbose_name="Status")
    protection = StatusColumn(of=lambda vm: statuses.protection(vm.protection), accessor="protection")
    guardian = StatusColumn(of=lambda vm: statuses.guardian(vm.outdated), order_by="outdated")
    shielding_data = tables.Column(accessor="shielding_data__name", verbose_name="Shielding data")
    network = tables.Column(accessor="network__name", verbose_name="Network")
    subscription = tables.Column(accessor="subscription__name", verbose_name="Subscription")
    created_at = TimeColumn(verbose_name="Created")

    class Meta(BaseTable.Meta):
        narrow = ("name", "state")


class VmFilter(django_filters.FilterSet):  # type: ignore[misc] # it has no types
    name = django_filters.CharFilter(lookup_expr="icontains", label="Name")
    state = django_filters.ChoiceFilter(choices=VmState.choices, label="Status", empty_label="All")
    network = django_filters.ModelChoiceFilter(queryset=Network.objects.all(), label="Network", empty_label="All")


class VmList(ObjectListView):
    """A tenant's virtual machines."""

    access, rail, title = Access.TENANT, "virtual-machines", "virtual machines"
    quick_start = "virtual-machines"
    table_class, filterset_class, commands = VmTable, VmFilter, VM_COMMANDS
    empty = Empty("You have no virtual machines yet.", "Create a shielded virtual machine", "tenants:vm-new")

    def get_rows(self) -> QuerySet[VirtualMachine]:
        return with_outdated(virtual_machines(self.actor))

    def hidden_columns(self) -> Sequence[str]:
        return () if outdated_vms(self.actor).exists() else ("guardian",)


class _VmPage(ObjectDetailView):
    access, rail = Access.TENANT, "virtual-machines"
    parent_url_name, parent_label = "tenants:vms", "virtual machines"
    pivots, commands = PIVOTS, VM_COMMANDS
    object: VirtualMachine

    def get_object(self) -> VirtualMachine:
        return with_outdated(virtual_machines(self.actor)).get(pk=self.kwargs["pk"])

    def get_status(self) -> Any:
        state = statuses.vm_state(self.object, timezone.now())
        # The reason of a failure stands in full below; beside the title the word is enough.
        return replace(state, reason="") if self.object.problem else state

    def get_glance(self) -> Sequence[Fact | FactGroup]:
        return _glance(self.object)


class VmPage(_VmPage):
    """The dashboard: its job, what protects it, what it takes of the plan."""

    template_name, pivot = "tenants/vm.html", "dashboard"

    def get_job_id(self) -> str | None:
        vm = self.object
        shown = vm.in_transition or bool(vm.problem)
        return str(vm.job_id) if shown and vm.job_id else None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        vm, now = self.object, timezone.now()
        host = vm.placement.host if vm.placement else None
        return super().get_context_data(
            host=host,
            host_status=replace(fabric_statuses.attestation(host, now), reason="") if host else None,
            certificate_holds=bool(host and certificate_left(host, now)),
            usage=usage_of(vm.subscription),
            **kwargs,
        )


class VmConfigure(_VmPage):
    """What the VM is made of. A shielded VM's settings come from its shielding data and cannot be changed here."""

    template_name, pivot = "tenants/vm_configure.html", "configure"

    def get_object(self) -> VirtualMachine:
        return with_outdated(virtual_machines(self.actor)).select_related("key_protector").get(pk=self.kwargs["pk"])

    def in_transition(self) -> bool:
        kept = protector_of(self.object)
        return super().in_transition() or bool(kept and kept.under_way)

    def get_job_id(self) -> str | None:
        kept = protector_of(self.object)
        return str(kept.job_id) if kept and kept.under_way else None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(protector=section_of(self.actor, self.object), **kwargs)


class VmActivity(_VmPage):
    """Who did what with it, and its jobs."""

    template_name, pivot = "tenants/vm_activity.html", "activity"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        target = str(self.object.pk)
        jobs = Job.objects.filter(target_type="virtual-machine", target_id=target).order_by("-created_at")[:50]
        return super().get_context_data(
            events=AuditEvent.objects.filter(target_type="virtual-machine", target_id=target)[:100],
            vm_jobs=[(job_status(job), job) for job in jobs],
            **kwargs,
        )


class VmKeys(_VmPage):
    """Every release and refusal of its keys that HGS wrote down."""

    template_name, pivot = "tenants/vm_keys.html", "keys"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        account = shown(self.request, lambda before: entries_of_vm(self.actor, self.object, before))
        return super().get_context_data(account=account, rows=rows_of(account), **kwargs)


def _glance(vm: VirtualMachine) -> list[Fact | FactGroup]:
    placement = vm.placement
    lines: list[Fact | FactGroup] = [
        Fact("Protection", status=statuses.protection(vm.protection)),
        Fact("Guardian", status=statuses.guardian(vm.outdated)),  # type: ignore[attr-defined]
    ]
    if placement and placement.host:
        command = f"ssh -p {placement.access_port} root@{placement.host.address}"
        lines.append(
            Fact("Connect", command, copy=True, help="SSH shows a host key: it is the one you put into the shielding "
                 "data. Compare its fingerprint; if it differs, do not log in.")
        )  # fmt: skip
    if placement:
        lines.append(Fact("Address in its network", placement.address))
        lines.append(
            Fact("Heartbeat", status=statuses.heartbeat(vm, timezone.now()), at=placement.last_heartbeat_at)
            if placement.last_heartbeat_at
            else Fact("Heartbeat", "none yet")
        )
        lines.append(Fact("Host", placement.host.name if placement.host else "being chosen"))
    lines += [
        Fact("Size", f"{vm.vcpus} processor{'s' if vm.vcpus > 1 else ''}, {vm.memory_mib} MiB"),
        Fact("Subscription", vm.subscription.name),
        Fact("Created", at=vm.created_at),
    ]
    return lines


class VmForm(forms.Form):
    """Exactly three things; the template is behind "more"."""

    name = forms.CharField(max_length=63, help_text=NAME_RULE, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    shielding_data = forms.ModelChoiceField(
        ShieldingData.objects.none(), label="Shielding data file", empty_label=None,
        help_text="It holds the passwords and keys, encrypted, and says which template disks you trust.",
    )  # fmt: skip
    network = forms.ModelChoiceField(Network.objects.none(), empty_label=None)
    template = forms.ModelChoiceField(
        TemplateDisk.objects.none(), required=False, label="Template disk",
        empty_label="The newest that the shielding data trusts",
    )  # fmt: skip
    more_fields = ("template",)
    more_label = "Template disk"

    def __init__(self, *args: Any, data_files: Any, networks: Any, templates: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["shielding_data"].queryset = data_files  # type: ignore[attr-defined]
        self.fields["network"].queryset = networks  # type: ignore[attr-defined]
        self.fields["template"].queryset = templates  # type: ignore[attr-defined]

    @property
    def more_open(self) -> bool:
        """Whether the part behind "more" has something to say."""
        return bool(self.errors.get("template"))


class VmNew(CommandView):
    """Create a shielded VM: name, shielding data file, network."""

    access, rail, title, submit_label = Access.TENANT, "virtual-machines", "create a virtual machine", "Create VM"
    parent_url_name, parent_label, new_item = "tenants:vms", "virtual machines", "virtual-machine"
    form_class = VmForm

    def get_form_kwargs(self) -> dict[str, Any]:
        subscription = current_subscription(self.request)
        return {
            "data_files": ShieldingData.objects.visible_to(self.actor).filter(subscription=subscription),
            "networks": Network.objects.visible_to(self.actor),
            "templates": TemplateDisk.objects.visible_to(self.actor),
        }

    def consequences(self) -> list[str]:
        subscription = current_subscription(self.request)
        plan, (vms, vcpus, memory) = subscription.plan, usage_of(subscription)
        sentences = [
            f"Takes 1 of the {vms.left} virtual machines, {plan.vm_vcpus} of the {vcpus.left} processors and "
            f"{plan.vm_memory_mib} of the {memory.left} MiB of memory left in plan {plan.name}."
        ]
        if not ShieldingData.objects.visible_to(self.actor).exists():
            sentences.append("You have no shielding data yet: upload a file first, under Shielding data.")
        return sentences

    def run(self, data: dict[str, Any]) -> Outcome:
        subscription = current_subscription(self.request)
        started = create_vm(self.actor, subscription=subscription, **data)
        name = started.vm.name
        return Outcome(
            reverse("tenants:vm", args=[started.vm.pk]), f"{name} is running.", str(started.job.pk),
            started=f"{name} is being created.", failed=f"{name} was not created.",
        )  # fmt: skip
