"""Shapes of the tenants' resources."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from portal.kernel.policy import Denial
from tenants.models import ProtectorState, ShieldingData, Subscription, VirtualMachine, VmKeyProtector
from tenants.policy import VmAction, decide_vm
from tenants.quota import usage_of
from tenants.selectors.key_protector import protector_of

_OUTDATED = "Whether it names an older guardian of this fabric than the present one."


class GuardianSerializer(serializers.Serializer[Any]):
    """A guardian that may release the keys to its hosts."""

    name = serializers.CharField()
    fingerprint = serializers.CharField(help_text="SHA-256 of its signing certificate.")
    encryption = serializers.CharField(help_text="SHA-256 of its encryption certificate.", default="")


class AccessSerializer(serializers.Serializer[Any]):
    """How to reach a VM."""

    host = serializers.CharField(help_text="Address to connect to.")
    port = serializers.IntegerField(help_text="TCP port that leads to the VM's SSH.")


class ProblemSerializer(serializers.Serializer[Any]):
    """Why the last job about the VM failed."""

    code = serializers.CharField()
    message = serializers.CharField()
    advice = serializers.CharField()


class KeptProtectorSerializer(serializers.Serializer[Any]):
    """How far an exchange of a VM's key protector is."""

    state = serializers.ChoiceField(
        choices=ProtectorState.values, help_text="exported: fetched, to be read at key-protector/. stale: not here."
    )
    sha256 = serializers.CharField(help_text="Of the document that was fetched, while it is here.")
    fetched_at = serializers.DateTimeField(source="exported_at", allow_null=True)
    replaced_at = serializers.DateTimeField(allow_null=True, help_text="When its host last took over another one.")
    job_id = serializers.UUIDField(allow_null=True)
    problem = serializers.SerializerMethodField(help_text="Why the last exchange failed.")

    @extend_schema_field(ProblemSerializer(allow_null=True))
    def get_problem(self, kept: VmKeyProtector) -> dict[str, Any] | None:
        return kept.problem or None


class VmSerializer(serializers.ModelSerializer[VirtualMachine]):
    """A virtual machine. `state` changes with its jobs; `job_id` is the last of them."""

    address = serializers.SerializerMethodField(help_text="Address inside its network.")
    access = serializers.SerializerMethodField()
    host = serializers.SerializerMethodField()
    last_heartbeat_at = serializers.SerializerMethodField()
    problem = serializers.SerializerMethodField()
    template_name = serializers.CharField(source="template.__str__", read_only=True)
    shielding_data_name = serializers.CharField(source="shielding_data.name", read_only=True)
    network_name = serializers.CharField(source="network.name", read_only=True)
    owner_fingerprint = serializers.CharField(read_only=True)
    guardians = GuardianSerializer(many=True, read_only=True)
    outdated_guardian = serializers.BooleanField(source="outdated", read_only=True, help_text=_OUTDATED)
    key_protector = serializers.SerializerMethodField(help_text="Null while it was never fetched.")

    class Meta:
        model = VirtualMachine
        fields = [
            "id", "name", "state", "protection", "subscription", "shielding_data", "shielding_data_name", "template",
            "template_name", "network", "network_name", "host", "address", "access", "vcpus", "memory_mib",
            "last_heartbeat_at", "owner_fingerprint", "guardians", "outdated_guardian", "key_protector", "job_id",
            "problem", "created_by", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.IPAddressField(allow_null=True))
    def get_address(self, vm: VirtualMachine) -> str | None:
        return vm.placement.address if vm.placement else None

    @extend_schema_field(AccessSerializer(allow_null=True))
    def get_access(self, vm: VirtualMachine) -> dict[str, Any] | None:
        if vm.placement is None or vm.placement.host is None:
            return None
        return {"host": vm.placement.host.address, "port": vm.placement.access_port}

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_host(self, vm: VirtualMachine) -> str | None:
        return vm.placement.host.name if vm.placement and vm.placement.host else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_last_heartbeat_at(self, vm: VirtualMachine) -> Any:
        beat = vm.placement.last_heartbeat_at if vm.placement else None
        return serializers.DateTimeField().to_representation(beat) if beat else None

    @extend_schema_field(KeptProtectorSerializer(allow_null=True))
    def get_key_protector(self, vm: VirtualMachine) -> Any:
        kept = protector_of(vm)
        return KeptProtectorSerializer(kept).data if kept else None

    @extend_schema_field(ProblemSerializer(allow_null=True))
    def get_problem(self, vm: VirtualMachine) -> dict[str, Any] | None:
        return vm.problem or None


class VmRequest(serializers.Serializer[Any]):
    """What a new VM needs. The template follows from the shielding data unless it is named."""

    name = serializers.CharField(max_length=63)
    shielding_data = serializers.UUIDField()
    network = serializers.UUIDField()
    template = serializers.UUIDField(required=False, allow_null=True, default=None)
    subscription = serializers.UUIDField(required=False, allow_null=True, default=None)


class StopRequest(serializers.Serializer[Any]):
    """`force` switches the VM off instead of asking it to shut down."""

    force = serializers.BooleanField(required=False, default=False)


class AcceptedSerializer(serializers.Serializer[Any]):
    """Work that goes on: poll `job` until its state is final."""

    job = serializers.URLField()
    id = serializers.UUIDField(help_text="The virtual machine.")
    state = serializers.CharField()


class QualifierSerializer(serializers.Serializer[Any]):
    """A template disk, or line of them, that the owner trusts."""

    disk_name = serializers.CharField()
    signer_fingerprint = serializers.CharField()
    version = serializers.CharField()
    rule = serializers.ChoiceField(choices=["Equals", "GreaterThan", "GreaterThanOrEquals"])


class ShieldingDataSerializer(serializers.ModelSerializer[ShieldingData]):
    """A shielding data file: what its owner made readable."""

    guardians = GuardianSerializer(many=True, read_only=True)
    qualifiers = QualifierSerializer(many=True, read_only=True)
    substitution_strings = serializers.ListField(
        child=serializers.CharField(), read_only=True, allow_null=True,
        help_text="Values its answer file asks for. Null: a file of Version 1 does not say.",
    )  # fmt: skip
    sha256 = serializers.CharField(source="blob_id", read_only=True)
    virtual_machines = serializers.IntegerField(source="vm_count", read_only=True, default=0)
    outdated_guardian = serializers.BooleanField(source="outdated", read_only=True, help_text=_OUTDATED)

    class Meta:
        model = ShieldingData
        fields = [
            "id", "name", "description", "subscription", "kind", "policy", "owner_name", "owner_fingerprint",
            "guardians", "outdated_guardian", "qualifiers", "substitution_strings", "escrows_recovery_key", "sha256",
            "virtual_machines", "uploaded_by", "uploaded_at",
        ]  # fmt: skip
        read_only_fields = fields


class ShieldingDataWords(serializers.Serializer[Any]):
    """What a file is called in the portal; what is left out stays."""

    name = serializers.CharField(max_length=63, required=False)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)


class ShieldingDataUpload(serializers.Serializer[Any]):
    """The file that `gf pdk new` wrote, in a multipart form, or the upload that brought it, in a form or as JSON."""

    file = serializers.FileField(required=False, help_text="Either this,")
    upload = serializers.UUIDField(required=False, help_text="or the upload that brought it.")
    name = serializers.CharField(max_length=63)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
    subscription = serializers.UUIDField(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("file" in attrs) == ("upload" in attrs):
            raise serializers.ValidationError({"file": "Send the file, or name the upload that brought it."})
        return attrs


class FitSerializer(serializers.Serializer[Any]):
    """Whether a template disk fits a shielding data file."""

    template = serializers.UUIDField(source="template.pk")
    name = serializers.CharField(source="template.name")
    version = serializers.CharField(source="template.version")
    fits = serializers.BooleanField()
    reason = serializers.CharField()


class UsageSerializer(serializers.Serializer[Any]):
    """One quota of a plan."""

    name = serializers.CharField()
    unit = serializers.CharField()
    used = serializers.IntegerField()
    left = serializers.IntegerField()
    limit = serializers.IntegerField()


class SubscriptionSerializer(serializers.ModelSerializer[Subscription]):
    """A subscription with what is used of its plan."""

    plan = serializers.CharField(source="plan.name", read_only=True)
    usage = serializers.SerializerMethodField()

    class Meta:
        model = Subscription
        fields = ["id", "name", "plan", "state", "usage", "created_at"]
        read_only_fields = fields

    @extend_schema_field(UsageSerializer(many=True))
    def get_usage(self, subscription: Subscription) -> Any:
        return UsageSerializer(usage_of(subscription), many=True).data


def console_denial(actor: Any, vm: VirtualMachine) -> Denial:
    """Why there is no console; there is none for any VM of this fabric."""
    decision = decide_vm(actor, VmAction.CONSOLE, vm)
    return decision if isinstance(decision, Denial) else Denial("This fabric offers no console.", "console-not-offered")
