"""Page: the escrow of a VM's recovery key as a file."""

from uuid import UUID

from django.http import Http404, HttpResponse
from django.views.decorators.http import require_GET

from portal.kernel.errors import NotFound
from portal.web.access import Access, open_to
from portal.web.views.base import ShellRequest
from tenants.models import VirtualMachine
from tenants.selectors.recovery_key import recovery_key_of
from tenants.selectors.virtual_machines import virtual_machines

RECOVERY_KEY_TYPE = "application/xml"


def recovery_key_response(vm: VirtualMachine) -> HttpResponse:
    """The document as a file. Raises NotFound."""
    headers = {
        "Content-Disposition": f'attachment; filename="{vm.name}.recovery"',
        "Cache-Control": "private, no-store",
    }
    return HttpResponse(recovery_key_of(vm), content_type=RECOVERY_KEY_TYPE, headers=headers)


@open_to(Access.TENANT)
@require_GET
def recovery_key_file(request: ShellRequest, pk: UUID) -> HttpResponse:
    """Download it."""
    try:
        return recovery_key_response(virtual_machines(request.actor).get(pk=pk))
    except (VirtualMachine.DoesNotExist, NotFound) as error:
        raise Http404 from error
