"""HGS's guardian as a download."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from fabric.selectors.guardian import fabric_guardian
from portal.kernel.errors import DomainError
from portal.web.access import Access, open_to


@require_GET
@open_to(Access.SIGNED_IN)
def metadata(request: HttpRequest) -> HttpResponse:
    """HGS's guardian metadata, byte for byte as HGS serves it; a page that says why not where HGS is away."""
    try:
        guardian = fabric_guardian()
    except DomainError as error:
        return render(request, "fabric/guardian_away.html", {"error": error, "title": "guardian"}, status=error.status)
    return HttpResponse(
        guardian.metadata,
        content_type="application/xml",
        headers={
            "Content-Disposition": 'attachment; filename="fabric-guardian.xml"',
            "Guardian-Fingerprint": guardian.fingerprint,
        },
    )
