"""Routes of the frame, then those that applications registered."""

from django.urls import URLPattern, URLResolver, include, path

from portal.web import registry
from portal.web.access import Access
from portal.web.registry import Portal, Routes
from portal.web.views import frame, guides

_ACCESS = {Portal.TENANT: Access.TENANT, Portal.FABRIC: Access.FABRIC}


def _shared(portal: Portal) -> list[URLPattern]:
    """Pages that both portals have, under their own addresses and decisions."""
    prefix, access = ("fabric/" if portal is Portal.FABRIC else ""), _ACCESS[portal]
    return [
        path(f"{prefix}new/", frame.NewPage.as_view(access=access), name=f"{portal}-new"),
        path(f"{prefix}search/", frame.SearchPage.as_view(access=access), name=f"{portal}-search"),
        path(f"{prefix}activity/", frame.ActivityPage.as_view(access=access), name=f"{portal}-activity"),
        path(f"{prefix}activity/<uuid:pk>/", frame.JobPage.as_view(access=access), name=f"{portal}-job"),
        path(
            f"{prefix}activity/<uuid:pk>/panel/",
            frame.JobPanelFragment.as_view(access=access),
            name=f"{portal}-job-panel",
        ),
        path(
            f"{prefix}quick-start/<slug:key>/",
            guides.QuickStartPage.as_view(access=access),
            name=f"{portal}-quick-start",
        ),
        path(f"{prefix}help/", guides.HelpPage.as_view(access=access), name=f"{portal}-help"),
        path(f"{prefix}live/", frame.LiveParts.as_view(access=access), name=f"{portal}-live"),
    ]


_frame: list[URLPattern] = [
    path("", frame.root, name="tenant-home"),
    path("fabric/", frame.Overview.as_view(), name="fabric-home"),
    *_shared(Portal.TENANT),
    *_shared(Portal.FABRIC),
    path("notifications/<int:pk>/dismiss/", frame.dismiss_notification, name="dismiss"),
    path("preferences/quick-start/<slug:key>/", guides.dismiss_guide, name="dismiss-quick-start"),
    path("preferences/theme/", frame.choose_theme, name="theme"),
    path("preferences/language/", frame.choose_language, name="language"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include((_frame, "web"))),
    *(path(routes.prefix, include(routes.urlconf)) for routes in registry.entries(Routes)),
]
