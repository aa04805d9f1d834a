"""Commands on a VM: one object draws each button and guards the call."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.urls import reverse

from portal.kernel.actor import Actor
from portal.kernel.policy import Decision
from portal.web.access import Access
from portal.web.commands import ObjectCommand
from portal.web.views import CommandView, Outcome
from tenants.commands.power import remove_vm, start_vm, stop_vm
from tenants.commands.virtual_machines import Started, retry_vm
from tenants.models import VirtualMachine
from tenants.policy import VmAction, decide_vm
from tenants.selectors.virtual_machines import virtual_machines


def _policy(action: VmAction) -> Callable[[Actor, Any], Decision]:
    return lambda actor, vm: decide_vm(actor, action, vm)


START = ObjectCommand("start", "Start", "play", "tenants:vm-start", _policy(VmAction.START))
STOP = ObjectCommand("stop", "Stop", "square", "tenants:vm-stop", _policy(VmAction.STOP))
RETRY = ObjectCommand("retry", "Retry", "rotate-cw", "tenants:vm-retry", _policy(VmAction.RETRY))
CONSOLE = ObjectCommand("console", "Console", "terminal", "tenants:vm-console", _policy(VmAction.CONSOLE))
REMOVE = ObjectCommand("remove", "Remove", "trash-2", "tenants:vm-remove", _policy(VmAction.REMOVE), destructive=True)
VM_COMMANDS = (START, STOP, RETRY, CONSOLE, REMOVE)


class VmCommandView(CommandView):
    """A command on one of the actor's VMs."""

    access, rail = Access.TENANT, "virtual-machines"
    parent_url_name, parent_label = "tenants:vms", "virtual machines"
    object: VirtualMachine

    def get_object(self) -> VirtualMachine:
        return virtual_machines(self.actor).get(pk=self.kwargs["pk"])

    def get_title(self) -> str:
        return f"{self.title} {self.object.name}"

    def page(self) -> str:
        return reverse("tenants:vm", args=[self.object.pk])

    def outcome(self, started: Started, doing: str, done: str, failed: str, url: str = "") -> Outcome:
        name = self.object.name
        return Outcome(
            url or self.page(), f"{name} {done}.", str(started.job.pk), started=f"{name} {doing}.",
            failed=f"{name} {failed}.",
        )  # fmt: skip


class VmStart(VmCommandView):
    """Start a VM."""

    title, submit_label, command = "start", "Start", START

    def consequences(self) -> list[str]:
        return [f"The host of {self.object.name} asks HGS for its keys and gets them only if it is healthy."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        started = start_vm(self.actor, vm=self.object)
        return self.outcome(started, "is starting", "is running", "could not be started")


class StopForm(forms.Form):
    force = forms.BooleanField(
        label="Switch it off at once", required=False, help_text="What is not written to its disk is lost."
    )


class VmStop(VmCommandView):
    """Stop a VM."""

    title, submit_label, command, form_class = "stop", "Stop", STOP, StopForm

    def consequences(self) -> list[str]:
        return [f"{self.object.name} is asked to shut down. Who is connected to it is cut off; its disk stays."]

    def run(self, data: dict[str, Any]) -> Outcome:
        started = stop_vm(self.actor, vm=self.object, force=data["force"])
        return self.outcome(started, "is stopping", "is stopped", "could not be stopped")


class VmRetry(VmCommandView):
    """Create a failed VM anew."""

    title, submit_label, command = "retry", "Retry", RETRY

    def consequences(self) -> list[str]:
        return [f"{self.object.name} is created anew from the same shielding data and template."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        return self.outcome(retry_vm(self.actor, vm=self.object), "is being created", "is running", "was not created")


class VmRemove(VmCommandView):
    """Remove a VM for good."""

    title, submit_label, command, destructive = "remove", "Remove for good", REMOVE, True

    def consequences(self) -> list[str]:
        return [
            f"The disk of {self.object.name} and the keys that open it are deleted. Nobody can bring them back.",
            "Its address and its access port go to others.",
        ]

    def typed_name(self) -> str:
        return self.object.name

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        started = remove_vm(self.actor, vm=self.object)
        url = reverse("tenants:vms")
        return self.outcome(started, "is being removed", "was removed", "could not be removed", url)


class VmConsole(VmCommandView):
    """Says why there is no console; there is nothing to run."""

    title, submit_label, command = "console", "Open", CONSOLE

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        return Outcome(self.page(), "")  # the policy never lets it come to this
