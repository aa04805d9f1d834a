"""REST: one VM's own key protector, fetched from its host and replaced by what its owner made of it."""

from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hgs.keyprotection.protector_form import PROTECTOR_MAX
from portal.api.views import ApiView, accepted
from portal.web.access import Access
from tenants.api.files import FileUpload, file_parsers, received_file
from tenants.api.serializers import AcceptedSerializer, GuardianSerializer
from tenants.commands.key_protector import fetch_key_protector, set_key_protector
from tenants.models import VirtualMachine
from tenants.selectors.key_protector import fetched_protector
from tenants.selectors.virtual_machines import virtual_machines
from tenants.web.key_protector import PROTECTOR_TYPE, protector_response

DOCUMENT_MAX: Final = PROTECTOR_MAX + 4
"""With the length that the original's tools put before it."""
_FILE: Final = {
    PROTECTOR_TYPE: OpenApiTypes.BINARY, "application/octet-stream": OpenApiTypes.BINARY,
    "multipart/form-data": FileUpload,
}  # fmt: skip


def _header(name: str, kind: Any, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description, response=[200])


_ANSWERED: Final = [
    _header("ETag", OpenApiTypes.STR, "SHA-256 of the document, hexadecimal, in quotes."),
    _header("Repr-Digest", OpenApiTypes.STR, "The same as RFC 9530 writes it."),
    _header("Last-Modified", OpenApiTypes.STR, "When it was fetched."),
]


class ReplacementSerializer(AcceptedSerializer):
    """A key protector that the host is taking over, and who can open it beside its owner."""

    sha256 = serializers.CharField()
    owner_fingerprint = serializers.CharField(help_text="SHA-256 of the owner's signing certificate.")
    guardians = GuardianSerializer(many=True)
    names_present_guardian = serializers.BooleanField(
        allow_null=True, help_text="Whether this fabric's guardian is among them; null while the portal knows none."
    )


class _OfVm(ApiView):
    access = Access.TENANT

    def vm(self) -> VirtualMachine:
        return virtual_machines(self.actor).select_related("key_protector").get(pk=self.kwargs["pk"])


class KeyProtectorFetch(_OfVm):
    """Fetching a VM's key protector from its host."""

    @extend_schema(request=None, responses={202: AcceptedSerializer})
    def post(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Ask the VM's host for the key protector in force. It can be read once the job has succeeded."""
        vm = self.vm()
        job = fetch_key_protector(self.actor, vm=vm)
        return accepted(job, request, {"id": str(vm.pk), "state": vm.state})


class KeyProtector(_OfVm):
    """A VM's key protector."""

    body_most = DOCUMENT_MAX + 64 * 1024
    parser_classes = file_parsers(DOCUMENT_MAX, PROTECTOR_TYPE)

    @extend_schema(parameters=_ANSWERED, responses={(200, PROTECTOR_TYPE): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: str) -> HttpResponse:  # noqa: ARG002
        """The document as it was fetched last; 404 once the VM was started or another one put in force."""
        vm = self.vm()
        return protector_response(vm, fetched_protector(vm))

    @extend_schema(request=_FILE, responses={202: ReplacementSerializer})
    def put(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Have the host take over what the owner made of it; the answer says who can open it then."""
        vm = self.vm()
        taken = set_key_protector(self.actor, vm=vm, document=received_file(request, DOCUMENT_MAX))
        return accepted(taken.job, request, {
            "id": str(vm.pk), "state": vm.state, "sha256": taken.sha256, "owner_fingerprint": taken.owner_fingerprint,
            "guardians": GuardianSerializer(taken.guardians, many=True).data,
            "names_present_guardian": taken.names_present_guardian,
        })  # fmt: skip
