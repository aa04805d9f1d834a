"""REST: the account of keys, proofs of an owner's key, and the bundle to check the log offline."""

from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from fabric.key_account import key_log_key
from portal.api.views import ApiView
from portal.kernel.errors import Invalid, NotFound
from portal.web.access import Access
from tenants.commands.owner_proof import close_key_account, new_challenge, prove_owner
from tenants.models import VirtualMachine
from tenants.owner_proof import PROOF_MAX, parse_challenge
from tenants.selectors import key_account
from tenants.selectors.key_account import EntryPage, OwnerAccount, Whose
from tenants.web.key_account import bundle_response, origin_of


class EntrySerializer(serializers.Serializer[Any]):
    """One release or refusal. Fingerprints and hashes are SHA-256 in hex, empty where HGS knew none."""

    index = serializers.IntegerField(help_text="Its place in the key log.")
    at = serializers.DateTimeField(source="event.at")
    result = serializers.ChoiceField(source="event.result", choices=["released", "refused"])
    reason = serializers.CharField(source="event.reason", help_text="Code of a refusal.")
    message = serializers.CharField(source="event.message", help_text="The refusal in words.")
    protector = serializers.CharField(source="event.protector", help_text="The key protector that HGS got.")
    egress = serializers.CharField(source="event.egress", help_text="The key protector that HGS gave back.")
    vm = serializers.CharField(source="event.vm", help_text="Its id as the host says, or empty; HGS cannot check it.")
    vm_name = serializers.CharField(help_text="Where it is or was a VM of yours.")
    whose = serializers.ChoiceField(choices=[each.value for each in Whose])
    owner = serializers.CharField(source="event.owner")
    guardian = serializers.CharField(source="event.guardian", help_text="Encryption certificate of HGS.")
    host = serializers.CharField(source="event.host", help_text="Identity of the host.")
    host_name = serializers.CharField(source="event.host_name")
    certificate = serializers.CharField(
        source="event.certificate", help_text="Serial number of its health certificate."
    )
    verdict = serializers.CharField(source="event.verdict", help_text="Id of HGS's verdict about the host, or empty.")
    offline_starts = serializers.IntegerField(source="event.offline", help_text="Starts without HGS that it granted.")


class EntryPageSerializer(serializers.Serializer[Any]):
    """Entries, newest first; `before` is the value of `?before=` for the next page."""

    entries = EntrySerializer(many=True)
    before = serializers.IntegerField(allow_null=True)


class OwnerSerializer(serializers.Serializer[Any]):
    """An owner that your shielding data names, or whose key you have proven to hold."""

    owner = serializers.CharField(source="fingerprint")
    name = serializers.CharField()
    files = serializers.IntegerField(help_text="Shielding data files of this owner.")
    is_open = serializers.BooleanField(help_text="Whether you have proven that you hold its key.")
    proven_at = serializers.DateTimeField(source="proof.proven_at", allow_null=True, default=None)


class ChallengeRequest(serializers.Serializer[Any]):
    """The owner to prove: SHA-256 of its signing certificate."""

    owner = serializers.RegexField("^[0-9a-f]{64}$")


class ChallengeSerializer(serializers.Serializer[Any]):
    """A line to sign with the owner's key."""

    challenge = serializers.CharField()
    expires_at = serializers.DateTimeField()


class ProofRequest(serializers.Serializer[Any]):
    """The line that `gf audit prove-owner` prints."""

    proof = serializers.CharField(max_length=PROOF_MAX)


class LogKeySerializer(serializers.Serializer[Any]):
    """The key that signs the key log (C2SP signed-note vkey) and its SHA-256, to compare with HGS's administrator."""

    vkey = serializers.CharField()
    fingerprint = serializers.CharField()


_OWNER = OpenApiParameter("owner", OpenApiTypes.STR, description="SHA-256 of the owner's signing certificate.")
_VM = OpenApiParameter("vm", OpenApiTypes.UUID, description="One virtual machine; alone, it must be one of yours.")
_BEFORE = OpenApiParameter("before", OpenApiTypes.INT64, description="Entries below this place in the log.")
_FROM = OpenApiParameter("from", OpenApiTypes.INT64, description="Size of the log at the checkpoint you kept.")


class Entries(ApiView):
    """Releases and refusals: of one of your VMs (`?vm=`), or of an owner whose key you have proven to hold."""

    access = Access.TENANT

    @extend_schema(parameters=[_OWNER, _VM, _BEFORE], responses=EntryPageSerializer)
    def get(self, request: Request) -> Response:
        owner, vm = request.GET.get("owner", ""), _vm_in(request)
        before = key_account.index_in(request.GET.get("before"), "before")
        return Response(EntryPageSerializer(self._read(owner, vm, before)).data)

    def _read(self, owner: str, vm: UUID | None, before: int | None) -> EntryPage:
        if not owner and vm is None:
            raise Invalid("owner-or-vm", "Name an owner, or a virtual machine of yours.", "Add ?owner= or ?vm=.")
        found = self._own_vm(vm) if vm else None
        if found is not None and owner in ("", found.owner_fingerprint):
            return key_account.entries_of_vm(self.actor, found, before)
        if not owner:
            raise NotFound("no-such-vm", "You have no such virtual machine.")
        return key_account.entries_of_owner(self.actor, owner, before, vm)

    def _own_vm(self, vm: UUID) -> VirtualMachine | None:
        return VirtualMachine.objects.visible_to(self.actor).select_related("shielding_data").filter(pk=vm).first()


class Owners(ApiView):
    """The owners whose keys you may ask about."""

    access = Access.TENANT

    @extend_schema(responses=OwnerSerializer(many=True))
    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response(OwnerSerializer(key_account.owner_accounts(self.actor), many=True).data)


class Challenges(ApiView):
    """Challenges for an owner's key."""

    access = Access.TENANT

    @extend_schema(request=ChallengeRequest, responses={201: ChallengeSerializer})
    def post(self, request: Request) -> Response:
        """Ask for a challenge: it holds ten minutes, and for you alone."""
        asked = ChallengeRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        text = new_challenge(self.actor, owner=asked.validated_data["owner"], origin=origin_of(request))
        found = {"challenge": text, "expires_at": parse_challenge(text).expires_at}
        return Response(ChallengeSerializer(found).data, status=status.HTTP_201_CREATED)


class Proofs(ApiView):
    """Proofs of owners' keys."""

    access = Access.TENANT

    @extend_schema(request=ProofRequest, responses={201: OwnerSerializer})
    def post(self, request: Request) -> Response:
        """Prove that you hold an owner's key; its whole account is open to you from then on."""
        asked = ProofRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        proven = prove_owner(self.actor, proof=asked.validated_data["proof"])
        return Response(_owner_data(key_account.account_of(self.actor, proven.owner_fingerprint)), status=201)


class Proof(ApiView):
    """One proof."""

    access = Access.TENANT

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, owner: str) -> Response:  # noqa: ARG002
        """Take the proof back."""
        close_key_account(self.actor, owner=owner)
        return Response(status=status.HTTP_204_NO_CONTENT)


class Bundle(ApiView):
    """What `gf audit verify` checks."""

    access = Access.TENANT

    @extend_schema(parameters=[_OWNER, _FROM], responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request) -> StreamingHttpResponse:
        """The offline bundle (ZIP) of an owner whose key you have proven to hold."""
        return bundle_response(self.actor, request.GET.get("owner", ""), request.GET.get("from"))


class LogKey(ApiView):
    """The key log's key."""

    access = Access.TENANT

    @extend_schema(responses=LogKeySerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002
        key = key_log_key()
        return Response(LogKeySerializer({"vkey": str(key), "fingerprint": key.fingerprint}).data)


def _owner_data(account: OwnerAccount) -> dict[str, Any]:
    return dict(OwnerSerializer(account).data)


def _vm_in(request: Request) -> UUID | None:
    text = request.GET.get("vm")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Invalid("vm-id", "vm is the id of a virtual machine.", fields={"vm": "Give its id."}) from None
