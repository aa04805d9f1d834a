"""REST: virtual machines and subscriptions of the caller. Changes answer 202 with the job to poll."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from fabric.models import Network, TemplateDisk
from portal.api.views import ApiAccess, ApiView, accepted
from portal.kernel.errors import Denied, Invalid
from portal.kernel.policy import require
from portal.web.access import Access
from tenants.api.serializers import (
    AcceptedSerializer,
    StopRequest,
    SubscriptionSerializer,
    VmRequest,
    VmSerializer,
    console_denial,
)
from tenants.commands.power import remove_vm, start_vm, stop_vm
from tenants.commands.virtual_machines import Started, create_vm, retry_vm
from tenants.models import ShieldingData, Subscription, VirtualMachine
from tenants.selectors.rollover import with_outdated
from tenants.selectors.virtual_machines import subscription_for, subscriptions, virtual_machines

_KEY = OpenApiParameter(
    "Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER, description="Repeat it to get the same VM and job."
)


class SubscriptionList(ApiAccess, ListAPIView[Subscription]):  # type: ignore[misc]
    """The caller's subscriptions and what is used of their plans."""

    access = Access.TENANT
    serializer_class = SubscriptionSerializer
    queryset = Subscription.objects.none()

    def get_queryset(self) -> QuerySet[Subscription]:
        return subscriptions(self.actor)


class _Vms(ApiAccess):
    access = Access.TENANT
    serializer_class = VmSerializer
    queryset = VirtualMachine.objects.none()

    def get_queryset(self) -> QuerySet[VirtualMachine]:
        found = with_outdated(virtual_machines(self.actor)).select_related("key_protector")
        found = found.defer("key_protector__document")
        name = self.request.GET.get("name")
        return found.filter(name=name) if name else found


class VmList(_Vms, ListAPIView[VirtualMachine]):  # type: ignore[misc]
    """Virtual machines; `?name=` finds one."""

    @extend_schema(request=VmRequest, responses={202: AcceptedSerializer}, parameters=[_KEY])
    def post(self, request: Request) -> Response:
        """Create a VM. It is `creating` until the job in `Location` ends."""
        asked = VmRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = asked.validated_data
        template = wanted["template"]
        started = create_vm(
            self.actor,
            subscription=subscription_for(self.actor, wanted["subscription"]),
            name=wanted["name"],
            shielding_data=_named(ShieldingData.objects.visible_to(self.actor), "shielding_data", wanted),
            network=_named(Network.objects.visible_to(self.actor), "network", wanted),
            template=_named(TemplateDisk.objects.visible_to(self.actor), "template", wanted) if template else None,
            idempotency_key=request.headers.get("Idempotency-Key", ""),
        )
        return _accepted(started, request)


class VmDetail(_Vms, RetrieveAPIView[VirtualMachine]):  # type: ignore[misc]
    """One virtual machine."""

    @extend_schema(request=None, responses={202: AcceptedSerializer})
    def delete(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Remove the VM, its disk and its keys for good."""
        return _accepted(remove_vm(self.actor, vm=self.get_object()), request)


class _VmCommand(ApiView):
    access = Access.TENANT

    def vm(self) -> VirtualMachine:
        return virtual_machines(self.actor).get(pk=self.kwargs["pk"])


class VmStart(_VmCommand):
    """Starting a VM."""

    @extend_schema(request=None, responses={202: AcceptedSerializer})
    def post(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Start the VM on its host, which gets the keys from HGS while it is healthy."""
        return _accepted(start_vm(self.actor, vm=self.vm()), request)


class VmStop(_VmCommand):
    """Stopping a VM."""

    @extend_schema(request=StopRequest, responses={202: AcceptedSerializer})
    def post(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Ask the VM to shut down, or switch it off with `force`."""
        asked = StopRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        return _accepted(stop_vm(self.actor, vm=self.vm(), force=asked.validated_data["force"]), request)


class VmRetry(_VmCommand):
    """Retrying a creation that failed."""

    @extend_schema(request=None, responses={202: AcceptedSerializer})
    def post(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Create the VM anew with the same files."""
        return _accepted(retry_vm(self.actor, vm=self.vm()), request)


class VmConsole(_VmCommand):
    """The console, which a shielded VM never has."""

    @extend_schema(request=None, responses={403: None})
    def post(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Refused, with the reason and how to reach the VM instead."""
        denial = console_denial(self.actor, self.vm())
        require(denial)
        raise Denied(denial.code, denial.reason)


def _accepted(started: Started, request: Request) -> Response:
    return accepted(started.job, request, {"id": str(started.vm.pk), "state": started.vm.state})


def _named(found: Any, field: str, wanted: dict[str, Any]) -> Any:
    """The object a request names, or `Invalid` naming the field: what is not the caller's does not exist."""
    result = found.filter(pk=wanted[field]).first()
    if result is None:
        raise Invalid("invalid-request", "The request is not valid.", fields={field: "There is no such object."})
    return result
