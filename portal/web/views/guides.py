"""Quick Start, the first tab of a service until it is dismissed for good; and the help behind the question mark."""

from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from portal.web import registry, status
from portal.web.access import Access, open_to
from portal.web.registry import Portal, QuickStart
from portal.web.views.base import PageView, Pivot

COOKIE = "gf_quick_start"  # keys of the guides this person dismissed, joined by dots
A_YEAR = 365 * 24 * 3600

STATES = (
    status.running(), status.stopped(), status.in_progress("In progress"), status.warning("Warning"), status.failed(),
    status.unknown(), status.shielded(), status.encryption_supported(), status.attested("Host attested"),
    status.expiring("Host expiring"), status.refused("Host refused"),
)  # fmt: skip


def guide_of(portal: Portal, key: str) -> QuickStart | None:
    return next((each for each in registry.entries(QuickStart, portal) if each.key == key), None)


def dismissed(request: HttpRequest) -> set[str]:
    """Keys of the guides this person does not want to see any more."""
    return set(filter(None, request.COOKIES.get(COOKIE, "").split(".")))


def tabs(guide: QuickStart, *, on_guide: bool) -> list[Pivot]:
    """The guide's tab and that of its list."""
    address = reverse(f"web:{guide.portal}-quick-start", kwargs={"key": guide.key})
    return [
        Pivot("Quick start", address, current=on_guide),
        Pivot(guide.title, reverse(guide.list_url_name), current=not on_guide),
    ]


class QuickStartPage(PageView):
    """Numbered steps from nothing to the first object of a service."""

    access = Access.TENANT
    template_name = "web/quick_start.html"
    guide: QuickStart

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        found = guide_of(self.portal, kwargs["key"])
        if found is None:
            raise Http404
        self.guide, self.rail = found, found.key
        return super().dispatch(request, *args, **kwargs)

    def get_title(self) -> str:
        return self.guide.title

    def get_pivots(self) -> list[Pivot]:
        return tabs(self.guide, on_guide=True)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            guide=self.guide,
            list_url=reverse(self.guide.list_url_name),
            is_dismissed=self.guide.key in dismissed(self.request),
            **kwargs,
        )


class HelpPage(PageView):
    """What the words and shapes mean, which keys work, and the Quick Starts, dismissed or not."""

    access = Access.TENANT
    template_name = "web/help.html"
    title = "Help"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        guides = [
            (each, reverse(f"web:{each.portal}-quick-start", kwargs={"key": each.key}))
            for each in registry.entries(QuickStart, self.portal)
        ]
        return super().get_context_data(guides=guides, states=STATES, **kwargs)


@require_POST
@open_to(Access.SIGNED_IN)
def dismiss_guide(request: HttpRequest, key: str) -> HttpResponse:
    """Do not show this Quick Start again."""
    back = request.POST.get("next", "")
    response = HttpResponseRedirect(back if url_has_allowed_host_and_scheme(back, {request.get_host()}) else "/")
    known = {each.key for each in registry.entries(QuickStart)}
    kept = ".".join(sorted((dismissed(request) | {key}) & known))
    response.set_cookie(
        COOKIE, kept, max_age=A_YEAR, secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite="Lax"
    )
    return response
