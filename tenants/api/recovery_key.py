"""REST: the escrow of a VM's recovery key."""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from portal.api.views import ApiView
from portal.web.access import Access
from tenants.selectors.virtual_machines import virtual_machines
from tenants.web.recovery_key import RECOVERY_KEY_TYPE, recovery_key_response


class RecoveryKey(ApiView):
    """What opens the VM's disk when its virtual TPM is lost, for its owner alone to read."""

    access = Access.TENANT

    @extend_schema(responses={(200, RECOVERY_KEY_TYPE): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: str) -> HttpResponse:  # noqa: ARG002
        """The document for gf recovery unprotect; 404 if the VM's shielding data asked for none."""
        return recovery_key_response(virtual_machines(self.actor).get(pk=pk))
