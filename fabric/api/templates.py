"""REST: template disks. Everybody signed in may read those they see; fabric administrators publish and retire."""

from django.db.models import QuerySet
from django.http import FileResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from fabric.api.serializers import (
    TemplateDetailSerializer,
    TemplateSerializer,
    TemplateUpload,
    TemplateUseSerializer,
    TemplateWords,
)
from fabric.commands.publishing import begin_publishing
from fabric.commands.templates import describe_template, publish_template, retire_template, unretire_template
from fabric.commands.uploads import arrived_upload
from fabric.library import CHUNK_BYTES, limit_of
from fabric.models import BlobKind, TemplateDisk
from fabric.policy import FabricAction, decide
from fabric.selectors.template_disks import use_of
from portal.api.views import ApiAccess, ApiView, JobSerializer, accepted
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid
from portal.kernel.policy import require
from portal.web.access import Access


class _Templates(ApiAccess):
    access = Access.SIGNED_IN
    serializer_class = TemplateSerializer
    queryset = TemplateDisk.objects.none()

    def get_queryset(self) -> QuerySet[TemplateDisk]:
        found = TemplateDisk.objects.visible_to(self.actor).select_related("disk")
        name = self.request.GET.get("name")
        return found.filter(name=name) if name else found


class TemplateList(_Templates, ListAPIView[TemplateDisk]):  # type: ignore[misc]
    """Template disks; `?name=` narrows the list."""

    parser_classes = [MultiPartParser]

    @extend_schema(
        request={"multipart/form-data": TemplateUpload}, responses={201: TemplateSerializer, 202: JobSerializer}
    )
    def post(self, request: Request) -> Response:
        """Publish a signed disk with its catalog; one that was sent in parts by a job."""
        # Before the body is read: somebody without the right must not fill the disk.
        require(decide(self.actor, FabricAction.PUBLISH_TEMPLATE))
        asked = TemplateUpload(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        if values["catalog"].size > limit_of(BlobKind.CATALOG):
            raise Invalid("file-too-large", "The catalog is too large.", fields={"catalog": "Too large."})
        catalog = values["catalog"].read()
        words = {name: values[name] for name in ("description", "family", "release")}
        if "upload" in values:
            upload = arrived_upload(self.actor, values["upload"], BlobKind.TEMPLATE_DISK, timezone.now())
            return accepted(begin_publishing(self.actor, catalog=catalog, upload=upload, **words), request)
        template = publish_template(self.actor, catalog=catalog, disk=values["disk"].chunks(CHUNK_BYTES), **words)
        return Response(TemplateSerializer(template).data, status=status.HTTP_201_CREATED)


class TemplateDetail(_Templates, RetrieveAPIView[TemplateDisk]):  # type: ignore[misc]
    """One template disk."""

    serializer_class = TemplateDetailSerializer

    @extend_schema(request=TemplateWords, responses=TemplateDetailSerializer)
    def patch(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Change family, release or description; what is left out stays."""
        template = self.get_object()
        asked = TemplateWords(data=request.data)
        asked.is_valid(raise_exception=True)
        words = {name: getattr(template, name) for name in ("family", "release", "description")}
        template = describe_template(self.actor, template=template, **{**words, **asked.validated_data})
        return Response(self.get_serializer(template).data)


class TemplateUsage(ApiView):
    """Which VMs on which hosts are made from a template disk, and how many shielding data files trust it."""

    access = Access.FABRIC

    @extend_schema(responses=TemplateUseSerializer)
    def get(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        template = TemplateDisk.objects.visible_to(self.actor).get(pk=pk)
        return Response(TemplateUseSerializer(use_of(template)).data)


class TemplateCatalog(ApiView):
    """A template's volume signature catalog, for making shielding data that trusts it."""

    access = Access.SIGNED_IN

    @extend_schema(responses={(200, "application/xml"): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: str) -> FileResponse:  # noqa: ARG002
        template = TemplateDisk.objects.visible_to(self.actor).select_related("catalog").get(pk=pk)
        name = f"{template.name}-{template.version}.vsc".replace(" ", "-")
        return FileResponse(
            template.catalog.path.open("rb"), as_attachment=True, filename=name, content_type="application/xml"
        )


class _TemplateSwitch(ApiView):
    access = Access.FABRIC

    @extend_schema(request=None, responses=TemplateSerializer)
    def post(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        template = TemplateDisk.objects.visible_to(self.actor).select_related("disk").get(pk=pk)
        return Response(TemplateSerializer(self.switch(self.actor, template)).data)

    def switch(self, actor: Actor, template: TemplateDisk) -> TemplateDisk:
        raise NotImplementedError


class TemplateRetire(_TemplateSwitch):
    """Stop new VMs from being made from a template disk."""

    def switch(self, actor: Actor, template: TemplateDisk) -> TemplateDisk:
        return retire_template(actor, template=template)


class TemplateUnretire(_TemplateSwitch):
    """Let new VMs be made from a template disk again."""

    def switch(self, actor: Actor, template: TemplateDisk) -> TemplateDisk:
        return unretire_template(actor, template=template)
