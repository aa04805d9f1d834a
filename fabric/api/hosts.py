"""REST: hosts, their verdicts and what is submitted to HGS about them. Fabric administrators only."""

import base64
import binascii
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.generics import ListAPIView
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, Serializer

from fabric.api.serializers import (
    AttestationSerializer,
    CapturedSerializer,
    CaptureRequest,
    CapturesRequest,
    HostRegistration,
    HostSerializer,
    RegisteredHost,
    SubmissionRequest,
    SubmissionSerializer,
)
from fabric.commands.hosts import ask_host_to_attest, register_host, rotate_host_token
from fabric.commands.jobs import diagnose_host
from fabric.commands.submissions import CONTENT_LIMIT, capture_baseline, capture_baselines, submit_to_hgs
from fabric.models import Host, HostAttestation, Submission
from fabric.selectors.hosts import host_by, hosts
from portal.api.views import ApiAccess, ApiView, accepted
from portal.kernel.errors import Invalid
from portal.web.access import Access


class TokenReply(Serializer[Any]):
    """A token, shown this once."""

    token = CharField()


class HostList(ApiAccess, ListAPIView[Host]):  # type: ignore[misc]
    """Hosts; `?name=` finds one."""

    access = Access.FABRIC
    serializer_class = HostSerializer
    queryset = Host.objects.none()

    def get_queryset(self) -> QuerySet[Host]:
        found = hosts(self.actor)
        name = self.request.GET.get("name")
        return found.filter(name=name) if name else found

    @extend_schema(request=HostRegistration, responses={201: RegisteredHost})
    def post(self, request: Request) -> Response:
        """Register a host. The token in the answer is shown this once."""
        asked = HostRegistration(data=request.data)
        asked.is_valid(raise_exception=True)
        host, token = register_host(self.actor, **asked.validated_data)
        return Response({"host": HostSerializer(host).data, "token": token}, status=status.HTTP_201_CREATED)


class _OneHost(ApiView):
    access = Access.FABRIC

    def host(self) -> Host:
        return host_by(self.actor, str(self.kwargs["reference"]))


class HostDetail(_OneHost):
    """One host, by id or name."""

    @extend_schema(responses=HostSerializer)
    def get(self, request: Request, reference: str) -> Response:  # noqa: ARG002
        return Response(HostSerializer(self.host()).data)


class HostToken(_OneHost):
    """A host's token."""

    @extend_schema(request=None, responses={201: TokenReply})
    def post(self, request: Request, reference: str) -> Response:  # noqa: ARG002
        """Renew the token; the old one stops working at once."""
        return Response({"token": rotate_host_token(self.actor, host=self.host())}, status=status.HTTP_201_CREATED)


class HostAttest(_OneHost):
    """A host's attestation."""

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, reference: str) -> Response:  # noqa: ARG002
        """Ask the host to attest now; look at its attestations for what comes of it."""
        reason = f"asked by {self.actor.name}"
        ask_host_to_attest(self.actor, host=self.host(), reason=reason, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class HostDiagnose(_OneHost):
    """A host's own checks."""

    @extend_schema(request=None, responses={202: None})
    def post(self, request: Request, reference: str) -> Response:  # noqa: ARG002
        """Have the host check itself; the job's result holds what it found."""
        return accepted(diagnose_host(self.actor, host=self.host()), request)


class HostCapture(_OneHost):
    """A new baseline from what a host measured."""

    @extend_schema(request=CaptureRequest, responses={201: SubmissionSerializer})
    def post(self, request: Request, reference: str) -> Response:  # noqa: ARG002
        """Submit the boot of the host's last attestation as a baseline to HGS, where an administrator decides."""
        asked = CaptureRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        submission = capture_baseline(self.actor, host=self.host(), name=asked.validated_data["name"])
        return Response(SubmissionSerializer(submission).data, status=status.HTTP_201_CREATED)


class Captures(ApiView):
    """New baselines from what many hosts measured."""

    access = Access.FABRIC

    @extend_schema(request=CapturesRequest, responses=CapturedSerializer(many=True))
    def post(self, request: Request) -> Response:
        """Submit the last boots of hosts as baselines, once for hosts that booted alike; says what came of each."""
        asked = CapturesRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        chosen = [host_by(self.actor, name) for name in dict.fromkeys(asked.validated_data["hosts"])]
        results = capture_baselines(self.actor, hosts=chosen)
        return Response(CapturedSerializer(results, many=True).data)


class HostAttestations(ApiAccess, ListAPIView[HostAttestation]):  # type: ignore[misc]
    """HGS's verdicts on a host, newest first."""

    access = Access.FABRIC
    serializer_class = AttestationSerializer
    queryset = HostAttestation.objects.none()

    def get_queryset(self) -> QuerySet[HostAttestation]:
        return host_by(self.actor, str(self.kwargs["reference"])).attestations.all()


class HostSubmissions(ApiAccess, ListAPIView[Submission]):  # type: ignore[misc]
    """What was submitted to HGS about a host."""

    access = Access.FABRIC
    serializer_class = SubmissionSerializer
    queryset = Submission.objects.none()
    parser_classes = [JSONParser, MultiPartParser]

    def get_queryset(self) -> QuerySet[Submission]:
        return host_by(self.actor, str(self.kwargs["reference"])).submissions.all()

    @extend_schema(request=SubmissionRequest, responses={201: SubmissionSerializer})
    def post(self, request: Request, reference: str) -> Response:
        """Submit a host identity, baseline or CI policy to HGS, where an administrator decides."""
        fields = request.data if isinstance(request.data, dict) else {}
        content = _content(request, fields.get("content"))
        asked = SubmissionRequest(data={"kind": fields.get("kind"), "name": fields.get("name", ""), "content": "…"})
        asked.is_valid(raise_exception=True)
        submission = submit_to_hgs(
            self.actor,
            host=host_by(self.actor, reference),
            kind=asked.validated_data["kind"],
            name=asked.validated_data["name"],
            content=content,
        )
        return Response(SubmissionSerializer(submission).data, status=status.HTTP_201_CREATED)


def _content(request: Request, text: object) -> bytes:
    upload = request.FILES.get("content")
    if upload is not None:
        return bytes(upload.read(CONTENT_LIMIT + 1))
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except binascii.Error:
        pass
    raise Invalid("submission-invalid", "The content must be base64 or a file.", fields={"content": "Not base64."})
