"""REST: shielding data files of the caller."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Count, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.parsers import BaseParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from fabric.commands.uploads import arrived_upload
from fabric.library import CHUNK_BYTES, limit_of
from fabric.models import BlobKind, TemplateDisk
from portal.api.views import ApiAccess, ApiView
from portal.web.access import Access
from tenants.api.serializers import FitSerializer, ShieldingDataSerializer, ShieldingDataUpload, ShieldingDataWords
from tenants.commands.shielding_data import (
    describe_shielding_data,
    keep_uploaded_shielding_data,
    remove_shielding_data,
    upload_shielding_data,
)
from tenants.matching import fits
from tenants.models import ShieldingData
from tenants.selectors.rollover import with_outdated
from tenants.selectors.virtual_machines import subscription_for


class RawParser(BaseParser):
    """The file itself as the request's body; read no further than one byte past the limit."""

    media_type = "application/octet-stream"

    def parse(self, stream, media_type=None, parser_context=None):  # type: ignore[no-untyped-def] # noqa: ARG002
        return {"raw": stream.read(limit_of(BlobKind.SHIELDING_DATA) + 1)}


class _Files(ApiAccess):
    access = Access.TENANT
    serializer_class = ShieldingDataSerializer
    queryset = ShieldingData.objects.none()

    def get_queryset(self) -> QuerySet[ShieldingData]:
        found = (
            ShieldingData.objects.visible_to(self.actor).annotate(vm_count=Count("virtual_machines")).order_by("name")
        )
        found = with_outdated(found)
        name = self.request.GET.get("name")
        return found.filter(name=name) if name and self.request.method == "GET" else found


class ShieldingDataList(_Files, ListAPIView[ShieldingData]):  # type: ignore[misc]
    """Shielding data files; `?name=` finds one."""

    parser_classes = [MultiPartParser, JSONParser, RawParser]

    @extend_schema(
        request={"multipart/form-data": ShieldingDataUpload, "application/json": ShieldingDataUpload},
        responses={201: ShieldingDataSerializer},
    )
    def post(self, request: Request) -> Response:
        """Upload a file: as `file` of a multipart form, as the body itself with `?name=`, or sent in parts before."""
        raw = request.data.get("raw") if isinstance(request.data, dict) else None
        if isinstance(raw, bytes):
            name, description = request.GET.get("name", ""), request.GET.get("description", "")
            wanted, chunks = request.GET.get("subscription"), iter([raw])
        else:
            asked = ShieldingDataUpload(data=request.data)
            asked.is_valid(raise_exception=True)
            values = asked.validated_data
            name, description, wanted = values["name"], values["description"], values["subscription"]
            if "upload" in values:
                return self._finish(values)
            chunks = values["file"].chunks(CHUNK_BYTES)
        data = upload_shielding_data(
            self.actor,
            subscription=subscription_for(self.actor, wanted),
            name=name,
            description=description,
            file=chunks,
        )
        return self._made(data)

    def _finish(self, values: Mapping[str, Any]) -> Response:
        data = keep_uploaded_shielding_data(
            self.actor,
            subscription=subscription_for(self.actor, values["subscription"]),
            name=values["name"],
            description=values["description"],
            upload=arrived_upload(self.actor, values["upload"], BlobKind.SHIELDING_DATA, timezone.now()),
        )
        return self._made(data)

    def _made(self, data: ShieldingData) -> Response:
        shown = ShieldingDataSerializer(self.get_queryset().get(pk=data.pk)).data
        return Response(shown, status=status.HTTP_201_CREATED)


class ShieldingDataDetail(_Files, RetrieveAPIView[ShieldingData]):  # type: ignore[misc]
    """One shielding data file."""

    @extend_schema(request=ShieldingDataWords, responses=ShieldingDataSerializer)
    def patch(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Change its name or description."""
        data = self.get_object()
        asked = ShieldingDataWords(data=request.data)
        asked.is_valid(raise_exception=True)
        words = {"name": data.name, "description": data.description, **asked.validated_data}
        describe_shielding_data(self.actor, data=data, **words)
        return Response(self.get_serializer(data).data)

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Remove a file that no VM is made from."""
        remove_shielding_data(self.actor, data=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


class Templates(ApiView):
    """Which template disks a file fits, and why not the others."""

    access = Access.TENANT

    @extend_schema(responses=FitSerializer(many=True))
    def get(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        data = ShieldingData.objects.visible_to(self.actor).get(pk=pk)
        answers = fits(data, TemplateDisk.objects.visible_to(self.actor))
        return Response(FitSerializer(answers, many=True).data)
