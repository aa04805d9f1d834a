"""A small application in memory that fills the shell, so that its tests need no other one."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import django_tables2 as tables
from django import forms
from django.urls import include, path, reverse

from portal.kernel.errors import Conflict, Invalid, NotFound
from portal.kernel.policy import Allowed, Decision, Denial
from portal.web import registry, status
from portal.web.access import Access
from portal.web.commands import ObjectCommand
from portal.web.registry import Portal
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

FINGERPRINT = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@dataclass
class Machine:
    """Stands for any object of a fabric."""

    name: str
    state: status.Status
    memory: int = 512
    protection: status.Status = field(default_factory=status.shielded)
    in_transition: bool = False
    pk: uuid.UUID = field(default_factory=uuid.uuid4)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(hours=3))

    @property
    def is_running(self) -> bool:
        return self.state.word == "Running"


MACHINES: dict[str, Machine] = {}
JOB_IDS: dict[str, str] = {}


def fill() -> None:
    """The machines every test starts from."""
    MACHINES.clear()
    JOB_IDS.clear()
    for machine in (
        Machine("web01", status.running()),
        Machine("web02", status.in_progress("Specialising", 42), in_transition=True),
        Machine("db01", status.stopped(), 2048),
        Machine(
            "build-runner-17", status.failed("Failed", "The template's boot volume does not match its catalog."), 1024
        ),
        Machine("legacy", status.unknown("Unknown", "as of 14:02 UTC"), protection=status.encryption_supported()),
    ):
        MACHINES[str(machine.pk)] = machine


def by_name(name: str) -> Machine:
    return next(machine for machine in MACHINES.values() if machine.name == name)


def may_start(_actor: object, machine: Machine) -> Decision:
    return Denial("It is running already.", "running", because_of_state=True) if machine.is_running else Allowed()


def may_stop(_actor: object, machine: Machine) -> Decision:
    return Allowed() if machine.is_running else Denial("It is not running.", "not-running", because_of_state=True)


def may_use_console(_actor: object, _machine: Machine) -> Decision:
    return Denial("Console is off: this VM is Shielded. Use Remote Desktop or SSH.", "shielded")


START = ObjectCommand("start", "Start", "play", "showcase:start", may_start)
STOP = ObjectCommand("stop", "Stop", "square", "showcase:stop", may_stop, bulk_url_name="showcase:stop-many")
CONSOLE = ObjectCommand("console", "Console", "terminal", "showcase:stop", may_use_console)
REMOVE = ObjectCommand("remove", "Remove", "trash-2", "showcase:remove", destructive=True)
COMMANDS = (START, STOP, CONSOLE, REMOVE)


def machine_url(machine: Machine) -> str:
    return reverse("showcase:machine", kwargs={"pk": machine.pk})


class MachineTable(BaseTable):
    name = NameColumn(url=machine_url)
    state = StatusColumn(of=lambda machine: machine.state, verbose_name="Status", order_by="state__word")
    protection = StatusColumn(of=lambda machine: machine.protection)
    memory = NumberColumn(verbose_name="Memory, MiB")
    created_at = TimeColumn(verbose_name="Created")

    class Meta(BaseTable.Meta):
        narrow = ("name", "state")


class MachineList(ObjectListView):
    access = Access.TENANT
    rail, title = "machines", "Virtual machines"
    quick_start = "machines"
    table_class = MachineTable
    commands = COMMANDS
    empty = Empty("You have no virtual machines yet.", "Create a virtual machine", "showcase:new")

    def get_rows(self) -> list[Machine]:
        return list(MACHINES.values())


class MachinePage(ObjectDetailView):
    access = Access.TENANT
    rail = "machines"
    parent_url_name, parent_label = "showcase:machines", "Virtual machines"
    pivots = (
        PivotOf("dashboard", "Dashboard", "showcase:machine", with_object=True),
        PivotOf("configure", "Configure", "showcase:machine-configure", with_object=True),
        PivotOf("activity", "Activity", "showcase:machine-activity", with_object=True),
    )
    pivot = "dashboard"
    commands = COMMANDS

    def get_object(self) -> Machine:
        try:
            return MACHINES[str(self.kwargs["pk"])]
        except KeyError as error:
            raise NotFound("no-such-vm", "There is no such VM.") from error

    def get_status(self) -> status.Status:
        return self.object.state

    def get_job_id(self) -> str | None:
        return JOB_IDS.get(self.object.name)

    def get_glance(self) -> list[Fact | FactGroup]:
        return [
            Fact("Status", status=self.object.state),
            Fact(
                "Protection",
                status=self.object.protection,
                help="Disk, memory image and console are closed to the fabric.",
            ),
            Fact("Address", "192.168.40.17", copy=True),
            Fact("Created", at=self.object.created_at),
            FactGroup(
                "What protected it", [Fact("Template signer", fingerprint=FINGERPRINT), Fact("Host", "hv01", url="#")]
            ),
        ]


class NewMachineForm(forms.Form):
    name = forms.CharField(max_length=15, help_text="Up to 15 letters, digits and hyphens.")
    file = forms.FileField(label="Shielding data file", required=False, help_text="Made on your own machine by gf pdk.")
    network = forms.ChoiceField(choices=[("blue", "blue · 192.168.40.0/24"), ("green", "green · 192.168.41.0/24")])
    size = forms.ChoiceField(choices=[("s", "1 core, 512 MiB"), ("m", "2 cores, 2 GiB")], required=False)
    more_fields = ("size",)
    more_label = "Size and template"


class NewMachine(CommandView):
    access = Access.TENANT
    rail, title, submit_label, new_item = "machines", "New virtual machine", "Create VM", "machine"
    form_class = NewMachineForm

    def run(self, data: dict[str, Any]) -> Outcome:
        if any(machine.name == data["name"] for machine in MACHINES.values()):
            raise Invalid("name-taken", "The VM was not created.", fields={"name": "You have a VM of that name."})
        machine = Machine(data["name"], status.in_progress("Waiting"), in_transition=True)
        MACHINES[str(machine.pk)] = machine
        return Outcome(machine_url(machine), f"{machine.name} was created.")


class MachineCommand(CommandView):
    access = Access.TENANT
    rail = "machines"
    parent_url_name, parent_label = "showcase:machines", "Virtual machines"

    def get_object(self) -> Machine:
        try:
            return MACHINES[str(self.kwargs["pk"])]
        except KeyError as error:
            raise NotFound("no-such-vm", "There is no such VM.") from error


class StartMachine(MachineCommand):
    title, submit_label, command = "Start", "Start", START

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        raise Conflict(
            "no-eligible-host",
            f"{self.object.name} was not started: no host is attested now.",
            "Ask the fabric's operator.",
        )


class StopMachine(MachineCommand):
    title, submit_label, command = "Stop", "Stop", STOP

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        self.object.state = status.stopped()
        return Outcome(machine_url(self.object), f"{self.object.name} was stopped.")


class StopMachines(BulkCommandView):
    access = Access.TENANT
    rail, title, submit_label, command = "machines", "Stop virtual machines", "Stop", STOP
    list_url_name = "showcase:machines"

    def get_objects(self, ids: Sequence[str]) -> list[Machine]:
        return [MACHINES[pk] for pk in ids if pk in MACHINES]

    def run_one(self, target: Machine) -> str:
        target.state = status.stopped()
        return "Stopped"


class RemoveMachine(MachineCommand):
    title, submit_label, command, destructive = "Remove virtual machine", "Remove", REMOVE, True

    def consequences(self) -> list[str]:
        return [
            f"{self.object.name} is switched off.",
            "Its disk and its virtual TPM are erased; nobody can bring them back.",
        ]

    def typed_name(self) -> str:
        return str(self.object.name)

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        del MACHINES[str(self.object.pk)]
        return Outcome(reverse("showcase:machines"), f"{self.object.name} was removed.")


class HostTable(BaseTable):
    name = NameColumn(url=lambda _: "#")
    state = tables.Column()


class HostList(ObjectListView):
    access = Access.FABRIC
    rail, title = "hosts", "Hosts"
    table_class = HostTable
    empty = Empty("No host is registered yet.", "Read how to register one", "web:fabric-home")

    def get_rows(self) -> list[Any]:
        return []


def _search(_actor: object, text: str, limit: int) -> list[registry.SearchHit]:
    found = [machine for machine in MACHINES.values() if text in machine.name]
    return [registry.SearchHit(m.name, machine_url(m), "Virtual machine", m.state) for m in found[:limit]]


def _items(_actor: object, limit: int) -> list[registry.Item]:
    return [
        registry.Item(m.name, machine_url(m), "Virtual machine", "monitor", m.state, m.in_transition)
        for m in list(MACHINES.values())[:limit]
    ]


def _tiles(_actor: object) -> list[registry.OverviewTile]:
    return [
        registry.OverviewTile(
            "Hosts attested", "2 of 3", "hv03 was refused.", "/fabric/hosts/", status.refused("1 refused")
        ),
        registry.OverviewTile(
            "Virtual machines", "14", "All on attested hosts.", "/fabric/hosts/", status.running("Running")
        ),
        registry.OverviewTile("HGS", "Answers", "Asked 4 s ago.", "/fabric/hosts/", status.running("Up")),
    ]


def _switch(_request: object) -> registry.ScopeSwitch:
    options = [registry.ScopeOption("all", "All subscriptions", True), registry.ScopeOption("gold", "Gold")]
    return registry.ScopeSwitch("Subscription", options, "/scope/")


ENTRIES: tuple[registry.Entry, ...] = (
    registry.RailEntry(
        Portal.TENANT, "machines", "Virtual machines", "monitor", "showcase:machines", lambda _: len(MACHINES), 10
    ),
    registry.RailEntry(Portal.TENANT, "data", "Shielding data", "file-lock-2", "showcase:machines", lambda _: 2, 20),
    registry.RailEntry(Portal.TENANT, "networks", "Networks", "network", "showcase:machines", lambda _: 1, 30),
    registry.RailEntry(Portal.FABRIC, "hosts", "Hosts", "server", "showcase:hosts", lambda _: 3, 10),
    registry.RailEntry(Portal.FABRIC, "templates", "Template disks", "disc-3", "showcase:hosts", lambda _: 1, 20),
    registry.QuickStart(
        Portal.TENANT, "machines", "virtual machines", "Two steps to a machine.", "showcase:machines",
        (
            registry.GuideStep("Make shielding data", "On your own machine.", command="gf pdk new"),
            registry.GuideStep("Create the machine", "From that file.", "Create one", "showcase:new"),
        ),
    ),
    registry.NewItem(
        Portal.TENANT, "machine", "Virtual machine", "monitor", "Quick create", "play",
        "A shielded VM from a shielding data file.", "showcase:new", 10,
    ),
    registry.NewItem(
        Portal.TENANT, "data", "Shielding data", "file-lock-2", "Upload", "upload",
        "A file that gf pdk made on your own machine.", "showcase:new", 20,
    ),
    registry.SearchProvider(Portal.TENANT, "machines", "Virtual machines", "monitor", _search),
    registry.ItemProvider(Portal.TENANT, "machines", _items),
    registry.OverviewProvider(Portal.FABRIC, "hosts", _tiles),
    registry.ScopeProvider(Portal.TENANT, "subscriptions", _switch),
    registry.JobScopes(Portal.TENANT, "own", lambda actor: [f"subscription:{actor.name}"]),
    registry.BannerProvider(
        Portal.FABRIC, "lab", lambda _: registry.Banner("HGS approves automatically: lab mode, not for real tenants.")
    ),
)  # fmt: skip

_pages = [
    path("machines/", MachineList.as_view(), name="machines"),
    path("machines/new/", NewMachine.as_view(), name="new"),
    path("machines/stop/", StopMachines.as_view(), name="stop-many"),
    path("machines/<uuid:pk>/", MachinePage.as_view(), name="machine"),
    path("machines/<uuid:pk>/configure/", MachinePage.as_view(pivot="configure"), name="machine-configure"),
    path("machines/<uuid:pk>/activity/", MachinePage.as_view(pivot="activity"), name="machine-activity"),
    path("machines/<uuid:pk>/start/", StartMachine.as_view(), name="start"),
    path("machines/<uuid:pk>/stop/", StopMachine.as_view(), name="stop"),
    path("machines/<uuid:pk>/remove/", RemoveMachine.as_view(), name="remove"),
    path("fabric/hosts/", HostList.as_view(), name="hosts"),
]

urlpatterns = [
    path("", include((_pages, "showcase"))),
    path("account/", include("portal.accounts.urls")),
    path("api/", include("portal.api.urls")),
    path("", include("portal.web.urls")),
]
