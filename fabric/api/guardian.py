"""REST: HGS's guardian, passed on to tenants."""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from fabric.api.serializers import GuardianSerializer
from fabric.selectors.guardian import fabric_guardian
from portal.api.views import ApiView
from portal.web.access import Access


class Guardian(ApiView):
    """HGS's guardian and its fingerprints."""

    access = Access.SIGNED_IN

    @extend_schema(responses=GuardianSerializer)
    def get(self, request: Request) -> Response:
        guardian = fabric_guardian()
        return Response(
            {
                "fingerprint": guardian.fingerprint,
                "guardian_fingerprint": guardian.guardian_fingerprint,
                "encryption_fingerprint": guardian.encryption_fingerprint,
                "metadata": reverse("fabric-api:guardian-metadata", request=request),
            }
        )


class GuardianMetadata(ApiView):
    """HGS's guardian metadata, byte for byte as HGS serves it."""

    access = Access.SIGNED_IN

    @extend_schema(responses={(200, "application/xml"): OpenApiTypes.BINARY})
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002
        guardian = fabric_guardian()
        return HttpResponse(
            guardian.metadata,
            content_type="application/xml",
            headers={
                "Content-Disposition": 'attachment; filename="fabric-guardian.xml"',
                "Guardian-Fingerprint": guardian.fingerprint,
            },
        )
