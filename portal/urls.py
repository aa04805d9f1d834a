"""Routes of the portal; each application brings its own through `portal.web.registry` and `portal.api`."""

from django.apps import apps
from django.urls import include, path
from django.urls.resolvers import URLPattern, URLResolver

from portal.kernel.health import livez, readyz
from portal.web.access import Access, open_to

urlpatterns: list[URLPattern | URLResolver] = [
    path("livez", open_to(Access.PUBLIC)(livez)),
    path("readyz", open_to(Access.PUBLIC)(readyz)),
    path("account/", include("portal.accounts.urls")),
    path("api/", include("portal.api.urls")),
]
if apps.is_installed("hgs"):  # only where every application runs in one process, as in tests
    urlpatterns.append(path("", include("hgs.urls")))
urlpatterns.append(path("", include("portal.web.urls")))
