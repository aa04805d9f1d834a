"""What REST views share, and the API's own: its root and its jobs."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from portal.api.permissions import AccessPermission, actor_of
from portal.api.routes import registered
from portal.kernel.actor import Actor, Role
from portal.kernel.errors import NotFound
from portal.kernel.models import Job, JobStep
from portal.web.access import Access
from portal.web.jobs import visible_jobs
from portal.web.registry import Portal


class ApiAccess:
    """Mix-in of every REST view: the access decision and the caller."""

    access: ClassVar[Access | None] = None
    permission_classes: ClassVar[Any] = [AccessPermission]
    request: Request

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)


class ApiView(ApiAccess, APIView):  # type: ignore[misc]
    """A plain REST view with an access decision."""


class Unknown(ApiView):
    """Every address of version 1 that is not there: a problem document, not a page."""

    access = Access.TOKEN
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound(
            "no-such-address", f"The API has no address {request.path}.", "Its description is at /api/docs/."
        )


def accepted(job: Job, request: Request, body: dict[str, Any] | None = None) -> Response:
    """202 for work that goes on: `Location` is the job, to be polled until its `state` is final."""
    address = reverse("api:job", kwargs={"pk": job.pk}, request=request)
    return Response({**(body or {}), "job": address}, status=status.HTTP_202_ACCEPTED, headers={"Location": address})


class StepSerializer(serializers.ModelSerializer[JobStep]):
    class Meta:
        model = JobStep
        fields = ["key", "title", "state", "percent", "message", "started_at", "finished_at"]


class JobErrorSerializer(serializers.Serializer[Job]):
    code = serializers.CharField(source="error_code")
    message = serializers.CharField(source="error_message")
    advice = serializers.CharField(source="error_advice")


class JobSerializer(serializers.ModelSerializer[Job]):
    steps = StepSerializer(many=True, read_only=True)
    error = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = [
            "id", "kind", "title", "state", "percent", "target_type", "target_id", "target_name", "created_by",
            "created_at", "started_at", "finished_at", "steps", "error", "result",
        ]  # fmt: skip

    @extend_schema(responses=JobErrorSerializer(allow_null=True))
    def get_error(self, job: Job) -> dict[str, Any] | None:
        """The reason of a failed job."""
        return dict(JobErrorSerializer(job).data) if job.is_failure else None


class JobsOf(ApiAccess):
    """Jobs the caller may see."""

    access = Access.SIGNED_IN
    serializer_class = JobSerializer
    filterset_fields: ClassVar[list[str]] = []
    queryset = Job.objects.none()

    def get_queryset(self) -> Any:
        portal = Portal.FABRIC if self.actor.has(Role.FABRIC_ADMIN) else Portal.TENANT
        return visible_jobs(self.actor, portal).prefetch_related("steps")


class JobList(JobsOf, ListAPIView[Job]):  # type: ignore[misc]
    """Jobs, newest first."""


class JobDetail(JobsOf, RetrieveAPIView[Job]):  # type: ignore[misc]
    """One job with its steps. Poll it until `state` is succeeded, failed, errored, lost or cancelled."""


class Root(ApiView):
    """Where everything is."""

    access = Access.SIGNED_IN

    @extend_schema(responses={200: serializers.DictField(child=serializers.URLField())})
    def get(self, request: Request) -> Response:
        found = {"jobs": reverse("api:jobs", request=request), "openapi": reverse("api:schema", request=request)}
        for routes in registered():
            found |= {name.rpartition(":")[2]: reverse(name, request=request) for name in routes.lists}
        return Response(found)
