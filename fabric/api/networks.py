"""REST: networks. Tenants read, fabric administrators create."""

from django.db.models import Count, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from fabric.api.serializers import NetworkRequest, NetworkSerializer
from fabric.commands.networks import create_network
from fabric.models import Network
from portal.api.views import ApiAccess
from portal.web.access import Access


class _Networks(ApiAccess):
    access = Access.SIGNED_IN
    serializer_class = NetworkSerializer
    queryset = Network.objects.none()

    def get_queryset(self) -> QuerySet[Network]:
        found = Network.objects.visible_to(self.actor).annotate(used=Count("placements")).order_by("name")
        name = self.request.GET.get("name")
        return found.filter(name=name) if name else found


class NetworkList(_Networks, ListAPIView[Network]):  # type: ignore[misc]
    """Networks; `?name=` finds one."""

    @extend_schema(request=NetworkRequest, responses={201: NetworkSerializer})
    def post(self, request: Request) -> Response:
        """Create a network."""
        asked = NetworkRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        network = create_network(self.actor, **asked.validated_data)
        return Response(NetworkSerializer(network).data, status=status.HTTP_201_CREATED)


class NetworkDetail(_Networks, RetrieveAPIView[Network]):  # type: ignore[misc]
    """One network."""
