"""REST: unsigned disks, the fabric's signing certificates, and signings of template disks."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from fabric.commands import signing as commands
from fabric.commands.unsigned_disks import discard_disk, import_disk
from fabric.import_folder import import_files
from fabric.library import CHUNK_BYTES
from fabric.models import SigningState, TemplateSigning, UnsignedDisk
from fabric.policy import FabricAction, decide
from fabric.signers import configured_signers
from portal.api.views import ApiAccess, ApiView, accepted
from portal.kernel.policy import require
from portal.web.access import Access


class UnsignedDiskSerializer(serializers.ModelSerializer[UnsignedDisk]):
    """A disk that waits to be signed; `size` in bytes."""

    sha256 = serializers.CharField(source="blob_id", read_only=True)
    size = serializers.IntegerField(source="blob.size", read_only=True)
    has_boot_certificate = serializers.SerializerMethodField()

    class Meta:
        model = UnsignedDisk
        fields = ["id", "file_name", "sha256", "size", "has_boot_certificate", "imported_by", "imported_at"]
        read_only_fields = fields

    @extend_schema_field(serializers.BooleanField())
    def get_has_boot_certificate(self, disk: UnsignedDisk) -> bool:
        return bool(disk.boot_certificate)


class UnsignedDiskUpload(serializers.Serializer[Any]):
    """A disk as a file; the certificate of its boot program, PEM or DER, can come later."""

    disk = serializers.FileField()
    boot_certificate = serializers.FileField(required=False)


class SignerSerializer(serializers.Serializer[Any]):
    """A certificate whose key this fabric holds; `problem` says why it cannot be used, empty if it can."""

    name = serializers.CharField()
    kind = serializers.CharField()
    subject = serializers.CharField()
    issuer = serializers.CharField()
    fingerprint = serializers.CharField()
    not_after = serializers.DateTimeField(allow_null=True)
    problem = serializers.CharField()


class ImportFileSerializer(serializers.Serializer[Any]):
    """A disk of the import folder; `size` in bytes."""

    name = serializers.CharField()
    size = serializers.IntegerField()
    has_boot_certificate = serializers.BooleanField()


class SigningRequest(serializers.Serializer[Any]):
    """What is to be signed: `disk`, the id of an unsigned disk, or `import_name`, a file of the import folder."""

    signer = serializers.CharField(max_length=64)
    disk = serializers.UUIDField(required=False)
    import_name = serializers.CharField(max_length=255, required=False, default="")
    boot_certificate = serializers.CharField(max_length=65536, required=False, default="", help_text="PEM.")
    name = serializers.CharField(max_length=128)
    version = serializers.CharField(max_length=64)
    description = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class SigningSerializer(serializers.ModelSerializer[TemplateSigning]):
    """A signing. `inspection` is what was found on the disk, null until then; `result` holds the signed root hashes."""

    state = serializers.SerializerMethodField()

    class Meta:
        model = TemplateSigning
        fields = [
            "id", "state", "signer", "signer_fingerprint", "signer_subject", "disk", "import_name", "source", "name",
            "version", "description", "inspection", "inspection_job", "job", "template", "result", "created_by",
            "created_at", "changed_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=SigningState.choices))
    def get_state(self, signing: TemplateSigning) -> str:
        return signing.state.value


class _Disks(ApiAccess):
    access = Access.FABRIC
    serializer_class = UnsignedDiskSerializer
    queryset = UnsignedDisk.objects.none()

    def get_queryset(self) -> QuerySet[UnsignedDisk]:
        return UnsignedDisk.objects.visible_to(self.actor).select_related("blob")


class UnsignedDiskList(_Disks, ListAPIView[UnsignedDisk]):  # type: ignore[misc]
    """Disks that wait to be signed."""

    parser_classes = [MultiPartParser]

    @extend_schema(request={"multipart/form-data": UnsignedDiskUpload}, responses={201: UnsignedDiskSerializer})
    def post(self, request: Request) -> Response:
        """Import an unsigned disk."""
        # Before the body is read: somebody without the right must not fill the disk.
        require(decide(self.actor, FabricAction.IMPORT_DISK))
        asked = UnsignedDiskUpload(data=request.data)
        asked.is_valid(raise_exception=True)
        disk, certificate = asked.validated_data["disk"], asked.validated_data.get("boot_certificate")
        found = import_disk(
            self.actor,
            file_name=disk.name,
            disk=disk.chunks(CHUNK_BYTES),
            boot_certificate=certificate.read() if certificate else b"",
        )
        return Response(UnsignedDiskSerializer(found).data, status=status.HTTP_201_CREATED)


class UnsignedDiskDetail(_Disks, RetrieveAPIView[UnsignedDisk]):  # type: ignore[misc]
    """One disk that waits to be signed."""

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Discard it; refused while a signing names it."""
        discard_disk(self.actor, disk=self.get_queryset().get(pk=pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Signers(ApiView):
    """The certificates whose keys this fabric holds."""

    access = Access.FABRIC

    @extend_schema(responses=SignerSerializer(many=True))
    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response(SignerSerializer(configured_signers(timezone.now()), many=True).data)


class ImportFolder(ApiView):
    """Disks that an operator put into the import folder."""

    access = Access.FABRIC

    @extend_schema(responses=ImportFileSerializer(many=True))
    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response(ImportFileSerializer(import_files(), many=True).data)


class _Signings(ApiAccess):
    access = Access.FABRIC
    serializer_class = SigningSerializer
    queryset = TemplateSigning.objects.none()

    def get_queryset(self) -> QuerySet[TemplateSigning]:
        return TemplateSigning.objects.visible_to(self.actor).select_related("job", "disk")


class SigningList(_Signings, ListAPIView[TemplateSigning]):  # type: ignore[misc]
    """Signings: drafts, under way, stopped and published ones, newest first."""

    parser_classes = [JSONParser]

    @extend_schema(request=SigningRequest, responses={202: SigningSerializer})
    def post(self, request: Request) -> Response:
        """Say what is to be signed. The disk is inspected by the job at `Location`; `start/` then signs."""
        asked = SigningRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        data = {**asked.validated_data}
        require(decide(self.actor, FabricAction.SIGN_TEMPLATE))
        data["disk"] = self._disk(data["disk"]) if "disk" in data else None
        data["boot_certificate"] = data["boot_certificate"].encode()
        signing, job = commands.prepare_signing(self.actor, **data)
        return accepted(job, request, dict(SigningSerializer(signing).data))

    def _disk(self, pk: UUID) -> UnsignedDisk:
        found = UnsignedDisk.objects.visible_to(self.actor).filter(pk=pk).first()
        if found is None:
            raise commands.no_such_disk()
        return found


class SigningDetail(_Signings, RetrieveAPIView[TemplateSigning]):  # type: ignore[misc]
    """One signing."""

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Forget it; refused while it is being signed and once it is published."""
        commands.discard_signing(self.actor, signing=self.get_queryset().get(pk=pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class _SigningCommand(ApiView):
    access = Access.FABRIC

    def signing(self, pk: str) -> TemplateSigning:
        return TemplateSigning.objects.visible_to(self.actor).select_related("job", "disk").get(pk=pk)


class SigningStart(_SigningCommand):
    """Sign and publish; after it was cancelled or failed, go on where it stopped."""

    @extend_schema(request=None, responses={202: SigningSerializer})
    def post(self, request: Request, pk: str) -> Response:
        signing = self.signing(pk)
        job = commands.start_signing(self.actor, signing=signing)
        return accepted(job, request, dict(SigningSerializer(signing).data))


class SigningInspect(_SigningCommand):
    """Look at the disk once more."""

    @extend_schema(request=None, responses={202: SigningSerializer})
    def post(self, request: Request, pk: str) -> Response:
        signing = self.signing(pk)
        job = commands.inspect_again(self.actor, signing=signing)
        return accepted(job, request, dict(SigningSerializer(signing).data))


class SigningCancel(_SigningCommand):
    """Stop it; what is hashed is kept."""

    @extend_schema(request=None, responses=SigningSerializer)
    def post(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        signing = self.signing(pk)
        commands.cancel_signing(self.actor, signing=signing)
        return Response(SigningSerializer(signing).data)
