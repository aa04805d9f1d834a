"""The routes of an HGS process."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from hgs.api import health

urlpatterns: list[URLPattern | URLResolver] = [path("", include("hgs.routes"))]
if settings.ROLE != "all":  # where tests serve everything from one process, these belong to the portal
    urlpatterns += [
        path("", RedirectView.as_view(pattern_name="hgs:overview")),
        path("livez", health.livez),
        path("readyz", health.readyz),
    ]
