"""REST: from an older guardian of this fabric to the present one."""

import tempfile
from io import BytesIO
from typing import Any

from django.http import FileResponse, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.views import ApiView
from portal.web.access import Access
from tenants.api.files import FileUpload, file_parsers
from tenants.commands.rollover import prepare_rollover
from tenants.commands.rollover_result import apply_rollover
from tenants.rollover.bundle import FILE_MAX
from tenants.selectors.rollover import rollover_of, write_work_file


class PresentGuardianSerializer(serializers.Serializer[Any]):
    """The guardian that everything should name. Fingerprints are SHA-256 of certificates."""

    fingerprint = serializers.CharField(help_text="Of the certificate that signs its metadata.")
    guardian_fingerprint = serializers.CharField(help_text="Of its signing certificate.")
    encryption_fingerprint = serializers.CharField(help_text="Of its encryption certificate.")
    since = serializers.DateTimeField()
    seen_at = serializers.DateTimeField(help_text="When HGS showed it last.")


class OutdatedItemSerializer(serializers.Serializer[Any]):
    """One object that names an older guardian."""

    kind = serializers.ChoiceField(choices=["vm", "shielding-data"])
    id = serializers.UUIDField()
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=["waiting", "fetching", "ready", "replacing", "failed", "blocked"])
    reason = serializers.CharField()
    advice = serializers.CharField()
    job_id = serializers.UUIDField(allow_null=True)


class RolloverSerializer(serializers.Serializer[Any]):
    """What names an older guardian, and how far each is."""

    guardian = PresentGuardianSerializer(allow_null=True)
    virtual_machines = serializers.IntegerField(source="vms")
    shielding_data = serializers.IntegerField(source="files")
    ready = serializers.IntegerField(help_text="Objects that the work file holds now.")
    under_way = serializers.IntegerField(help_text="Virtual machines whose hosts are at work.")
    objects = OutdatedItemSerializer(source="items", many=True)


class LeftOutSerializer(serializers.Serializer[Any]):
    """A VM whose key protector cannot be fetched now."""

    name = serializers.CharField()
    code = serializers.CharField()
    reason = serializers.CharField()
    advice = serializers.CharField()


class FetchSerializer(serializers.Serializer[Any]):
    """What was begun."""

    jobs = serializers.ListField(child=serializers.UUIDField())
    left_out = LeftOutSerializer(many=True)


class ItemResultSerializer(serializers.Serializer[Any]):
    """What became of one object of a result."""

    kind = serializers.ChoiceField(choices=["vm", "shielding-data"])
    id = serializers.CharField()
    name = serializers.CharField()
    outcome = serializers.ChoiceField(choices=["done", "started", "unchanged", "refused"])
    code = serializers.CharField()
    message = serializers.CharField()
    advice = serializers.CharField()
    job_id = serializers.UUIDField(allow_null=True)


class RolloverView(ApiView):
    """What of the caller's names an older guardian."""

    access = Access.TENANT

    @extend_schema(responses=RolloverSerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response(RolloverSerializer(rollover_of(self.actor)).data)


class Fetch(ApiView):
    """Fetching the key protectors of VMs from their hosts."""

    access = Access.TENANT

    @extend_schema(request=None, responses={202: FetchSerializer})
    def post(self, request: Request) -> Response:  # noqa: ARG002
        """Ask the hosts; poll `key-rollover/` until nothing is `fetching`."""
        prepared = prepare_rollover(self.actor)
        left_out = [
            {"name": name, "code": denial.code, "reason": denial.reason, "advice": denial.advice}
            for name, denial in prepared.left_out
        ]
        said = FetchSerializer({"jobs": [job.pk for job in prepared.jobs], "left_out": left_out}).data
        return Response(said, status=status.HTTP_202_ACCEPTED)


class WorkFile(ApiView):
    """The work file, for `gf key-protector regrant`."""

    access = Access.TENANT

    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request) -> HttpResponseBase:  # noqa: ARG002
        """What there is to re-grant and here now."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - FileResponse closes it
        try:
            write_work_file(self.actor, file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return FileResponse(file, as_attachment=True, filename="rollover.zip", content_type="application/zip")


class Result(ApiView):
    """The result of `gf key-protector regrant`."""

    access = Access.TENANT
    body_most = FILE_MAX + 64 * 1024
    parser_classes = file_parsers(FILE_MAX)

    @extend_schema(request={"multipart/form-data": FileUpload}, responses=ItemResultSerializer(many=True))
    def post(self, request: Request) -> Response:
        """Take it over; each object has a result of its own. Also as the body itself, `application/octet-stream`."""
        raw = request.data.get("raw") if isinstance(request.data, dict) else None
        if isinstance(raw, bytes):
            file: Any = BytesIO(raw)
        else:
            asked = FileUpload(data=request.data)
            asked.is_valid(raise_exception=True)
            file = asked.validated_data["file"]
        return Response(ItemResultSerializer(apply_rollover(self.actor, file=file), many=True).data)
