"""The routes of an HGS process."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from hgs.api import health

urlpatterns: list[URLPattern | URLResolver] = [path("", include("hgs.routes"))]
handler400 = "hgs.web.errors.bad_request"
handler403 = "hgs.web.errors.permission_denied"
handler404 = "hgs.web.errors.not_found"
handler500 = "hgs.web.errors.server_error"

if settings.ROLE != "all":  # where tests serve everything from one process, these belong to the portal
    urlpatterns += [
        path("", RedirectView.as_view(pattern_name="hgs:overview")),
        path("livez", health.livez),
        path("readyz", health.readyz),
    ]
