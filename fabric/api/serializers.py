"""Shapes of the fabric's resources."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fabric.models import (
    AttestationState,
    Host,
    HostAttestation,
    Network,
    Submission,
    SubmissionKind,
    TemplateDisk,
)
from fabric.placement import why_not
from fabric.selectors.template_disks import covered_by


class HostSerializer(serializers.ModelSerializer[Host]):
    """A host: what it reports (`state`) apart from what HGS says of it (`attestation`)."""

    attestation = serializers.SerializerMethodField(help_text="HGS's verdict, never the host's claim.")
    accepts_vms = serializers.SerializerMethodField()
    why_not = serializers.SerializerMethodField(help_text="Why it gets no new VM now; empty if it may.")
    used_vms = serializers.IntegerField(read_only=True, default=0)
    used_vcpus = serializers.IntegerField(read_only=True, default=0)
    used_memory_mib = serializers.IntegerField(source="used_memory", read_only=True, default=0)

    class Meta:
        model = Host
        fields = [
            "id", "name", "address", "state", "attestation", "certificate_not_after", "accepts_vms", "why_not",
            "last_report_at", "version", "vcpus", "memory_mib", "max_vms", "used_vms", "used_vcpus",
            "used_memory_mib", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=AttestationState.choices))
    def get_attestation(self, host: Host) -> str:
        return host.attestation_state(timezone.now()).value

    @extend_schema_field(serializers.BooleanField())
    def get_accepts_vms(self, host: Host) -> bool:
        return not why_not(host, timezone.now())

    @extend_schema_field(serializers.CharField())
    def get_why_not(self, host: Host) -> str:
        return why_not(host, timezone.now())


class HostRegistration(serializers.Serializer[Any]):
    """What registering a host asks for."""

    name = serializers.CharField(max_length=63)
    address = serializers.CharField(max_length=255, required=False, default="127.0.0.1")


class RegisteredHost(serializers.Serializer[Any]):
    """A registered host with its token, shown this once."""

    host = HostSerializer()
    token = serializers.CharField()


class AttestationSerializer(serializers.ModelSerializer[HostAttestation]):
    """One verdict of HGS, with one result per check."""

    class Meta:
        model = HostAttestation
        fields = [
            "id", "hgs_id", "at", "passed", "status", "sub_statuses", "checks", "warnings", "mode", "policy_version",
            "log_sha256", "ek_hash", "certificate_not_after",
        ]  # fmt: skip
        read_only_fields = fields


class SubmissionSerializer(serializers.ModelSerializer[Submission]):
    """Something submitted to HGS, and HGS's answer as last heard."""

    class Meta:
        model = Submission
        fields = [
            "id", "kind", "name", "sha256", "size", "hgs_id", "state", "submitted_by", "submitted_at", "checked_at",
        ]  # fmt: skip
        read_only_fields = fields


class CaptureRequest(serializers.Serializer[Any]):
    """What capturing a baseline asks for; without a name HGS gives it one of host and date."""

    name = serializers.CharField(max_length=64, required=False, default="", allow_blank=True)


class CapturesRequest(serializers.Serializer[Any]):
    """The hosts, by id or name, whose last boots are captured."""

    hosts = serializers.ListField(child=serializers.CharField(max_length=64), min_length=1, max_length=100)


class CapturedSerializer(serializers.Serializer[Any]):
    """What became of hosts that booted alike."""

    outcome = serializers.ChoiceField(choices=["submitted", "approved", "waiting", "known", "refused"])
    hosts = serializers.ListField(child=serializers.CharField())
    sentence = serializers.CharField()
    submission = SubmissionSerializer(allow_null=True)


class SubmissionRequest(serializers.Serializer[Any]):
    """A submission: the content as base64 in JSON, or as the file `content` of a multipart form."""

    kind = serializers.ChoiceField(choices=SubmissionKind.choices)
    name = serializers.CharField(max_length=128, required=False, allow_blank=True, default="")
    content = serializers.CharField()


class TemplateSerializer(serializers.ModelSerializer[TemplateDisk]):
    """A template disk. Name, version and signer are those of its verified catalog."""

    catalog_sha256 = serializers.CharField(source="catalog_id", read_only=True)
    disk_sha256 = serializers.CharField(source="disk_id", read_only=True)
    disk_size = serializers.IntegerField(source="disk.size", read_only=True)
    on_offer = serializers.BooleanField(
        source="is_on_offer", read_only=True, help_text="Available, with family and release: tenants see it."
    )

    class Meta:
        model = TemplateDisk
        fields = [
            "id", "name", "disk_name", "version", "family", "release", "on_offer", "description",
            "signer_fingerprint", "signer_subject", "catalog_sha256", "disk_sha256", "disk_size", "state",
            "published_by", "published_at",
        ]  # fmt: skip
        read_only_fields = fields


class TemplateWords(serializers.Serializer[Any]):
    """What tenants find a template disk by; without family or release it is not offered to them."""

    family = serializers.CharField(max_length=64, required=False, allow_blank=True)
    release = serializers.CharField(max_length=64, required=False, allow_blank=True)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)


class TemplateUpload(serializers.Serializer[Any]):
    """A multipart form with the two files that `gf template sign` writes; the disk perhaps sent in parts before.

    Family and release left out are the catalog's name and version.
    """

    catalog = serializers.FileField()
    disk = serializers.FileField(required=False, help_text="Either this,")
    upload = serializers.UUIDField(required=False, help_text="or the upload that brought it: then the answer is 202.")
    description = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
    family = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    release = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("disk" in attrs) == ("upload" in attrs):
            raise serializers.ValidationError({"disk": "Send the disk, or name the upload that brought it."})
        return attrs


class HostUseSerializer(serializers.Serializer[Any]):
    """How many VMs made from a disk a host has."""

    host = serializers.CharField(source="host.name")
    vms = serializers.IntegerField()


class TemplateUseSerializer(serializers.Serializer[Any]):
    """What depends on a template disk: numbers, and nothing of what is a tenant's."""

    vms = serializers.IntegerField()
    waiting = serializers.IntegerField(help_text="VMs that have no host now.")
    hosts = HostUseSerializer(many=True)
    files = serializers.IntegerField(help_text="Shielding data files that trust it.")
    trusting = serializers.DictField(child=serializers.IntegerField(), help_text="The same by subscription.")


class CoveredSerializer(serializers.Serializer[Any]):
    """A part of the disk that its publisher signed."""

    name = serializers.CharField()
    offset = serializers.IntegerField()
    length = serializers.IntegerField()


class TemplateDetailSerializer(TemplateSerializer):
    """A template disk with what its catalog covers."""

    covered = serializers.SerializerMethodField()

    class Meta(TemplateSerializer.Meta):
        fields = [*TemplateSerializer.Meta.fields, "covered"]
        read_only_fields = fields

    @extend_schema_field(CoveredSerializer(many=True))
    def get_covered(self, template: TemplateDisk) -> Any:
        return CoveredSerializer(covered_by(template), many=True).data


class NetworkSerializer(serializers.ModelSerializer[Network]):
    """A network. `used` addresses of `pool_size` belong to VMs."""

    used = serializers.IntegerField(read_only=True, default=0)
    pool_size = serializers.IntegerField(read_only=True)

    class Meta:
        model = Network
        fields = [
            "id", "name", "description", "cidr", "gateway", "dns", "first_address", "last_address", "pool_size",
            "used", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class NetworkRequest(serializers.Serializer[Any]):
    """What a new network needs; gateway and name server follow from the range if left out."""

    name = serializers.CharField(max_length=63)
    cidr = serializers.CharField(max_length=18)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
    gateway = serializers.CharField(max_length=15, required=False, allow_blank=True, default="")
    dns = serializers.CharField(max_length=15, required=False, allow_blank=True, default="")


class GuardianSerializer(serializers.Serializer[Any]):
    """HGS's guardian. Compare `fingerprint` with one heard from HGS's administrator before trusting it."""

    fingerprint = serializers.CharField(help_text="SHA-256 of the certificate that signs the metadata.")
    guardian_fingerprint = serializers.CharField(help_text="SHA-256 of the guardian's signing certificate.")
    encryption_fingerprint = serializers.CharField(help_text="SHA-256 of the guardian's encryption certificate.")
    metadata = serializers.URLField()
