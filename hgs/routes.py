"""Every route of HGS under the one name ``hgs``: the wire protocols, the fabric's API, the console."""

from django.urls import include, path

from hgs.api.urls import urlpatterns as api_routes
from hgs.web.urls import urlpatterns as console_routes

app_name = "hgs"
urlpatterns = [*api_routes, path("console/", include(console_routes))]
