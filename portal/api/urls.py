"""`/api/`: version 1, its description, and a reader for it that works offline."""

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from portal.api import views
from portal.api.permissions import AccessPermission
from portal.api.routes import registered
from portal.web.access import Access


class Schema(SpectacularAPIView):
    access = Access.SIGNED_IN
    permission_classes = [AccessPermission]


class Reference(SpectacularSwaggerSplitView):
    access = Access.SIGNED_IN
    permission_classes = [AccessPermission]
    url_name = "api:schema"
    url_self = None


_api: list[URLPattern] = [
    path("v1/", views.Root.as_view(), name="root"),
    path("v1/jobs/", views.JobList.as_view(), name="jobs"),
    path("v1/jobs/<uuid:pk>/", views.JobDetail.as_view(), name="job"),
    path("schema/", Schema.as_view(), name="schema"),
    path("docs/", Reference.as_view(), name="docs"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include((_api, "api"))),
    *(path(f"v1/{routes.prefix}", include(routes.urlconf)) for routes in registered()),
    path("v1/<path:address>", views.Unknown.as_view(), name="api-unknown"),
]
