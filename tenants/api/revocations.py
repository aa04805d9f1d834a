"""REST: owners' revocation notices, passed on to HGS."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hgs.keyprotection.revocation import NOTICE_MAX
from portal.api.views import ApiView
from portal.web.access import Access
from tenants.api.files import FileUpload, file_parsers, received_file
from tenants.commands.revocation import pass_on_notice


class PassedOnSerializer(serializers.Serializer[Any]):
    """What HGS made of a notice."""

    owner = serializers.CharField(help_text="SHA-256 of the signing certificate of the owner who signed it.")
    named = serializers.IntegerField(help_text="Key protectors that the notice names.")
    revoked = serializers.IntegerField(
        help_text="How many HGS newly refuses, the links of their chains with them; 0 for a notice that it had."
    )


class Revocations(ApiView):
    """Revocation notices."""

    access = Access.TENANT
    body_most = 2 * NOTICE_MAX
    parser_classes = file_parsers(NOTICE_MAX, "application/xml")

    @extend_schema(
        request={
            "application/xml": OpenApiTypes.BINARY, "application/octet-stream": OpenApiTypes.BINARY,
            "multipart/form-data": FileUpload,
        },
        responses=PassedOnSerializer,
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Pass on what `gf key-protector revoke --notice` wrote. It cannot be taken back."""
        return Response(PassedOnSerializer(pass_on_notice(self.actor, received_file(request, NOTICE_MAX))).data)
