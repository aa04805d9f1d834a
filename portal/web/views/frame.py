"""Pages that belong to the frame: home, NEW, search, activity, notifications, theme and language."""

from itertools import islice
from typing import Any

import django_tables2 as tables
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from portal.kernel.actor import Role
from portal.web import registry
from portal.web.access import Access, open_to
from portal.web.context import THEME_COOKIE, THEMES, Shell
from portal.web.jobs import panel_for, visible_jobs
from portal.web.notifications import dismiss
from portal.web.registry import Item, ItemProvider, OverviewProvider, Portal, SearchProvider
from portal.web.tables import BaseTable, NameColumn, StatusColumn
from portal.web.views.base import PageView
from portal.web.views.commands import drawer_columns
from portal.web.views.lists import Empty, ObjectListView

A_YEAR = 365 * 24 * 3600
HITS_PER_KIND = 10
ITEMS_PER_KIND = 200


def _same_site(request: HttpRequest, address: str, otherwise: str = "/") -> str:
    """`address` if it leads to this site, so that a form cannot send anybody elsewhere."""
    return address if url_has_allowed_host_and_scheme(address, {request.get_host()}) else otherwise


@require_GET
@open_to(Access.SIGNED_IN)
def root(request: HttpRequest) -> HttpResponse:
    """`/`: ALL ITEMS for a tenant, the fabric console for its administrator, the account page for anybody else."""
    actor = request.actor  # type: ignore[attr-defined]
    if actor.has(Role.TENANT):
        request.portal = Portal.TENANT  # type: ignore[attr-defined]
        return AllItems.as_view(access=Access.TENANT)(request)  # type: ignore[return-value]
    return redirect("web:fabric-home" if actor.has(Role.FABRIC_ADMIN) else "accounts:profile")


class ItemTable(BaseTable):
    name = NameColumn(url=lambda item: item.url, icon=lambda item: item.icon)
    type = tables.Column()
    status = StatusColumn(of=lambda item: item.status, order_by="status__word")

    class Meta(BaseTable.Meta):
        order_by = ("name",)


class AllItems(ObjectListView):
    """Everything the actor has, of every kind."""

    access = Access.TENANT
    rail, title = "all-items", "All items"
    table_class = ItemTable
    empty = Empty("You have nothing here yet.", "Create your first item", "web:tenant-new")

    def get_rows(self) -> list[Item]:
        providers = registry.entries(ItemProvider, self.portal)
        return [item for each in providers for item in islice(each.items(self.actor, ITEMS_PER_KIND), ITEMS_PER_KIND)]

    def row_key(self, row: Item) -> str:
        return row.url


class Overview(PageView):
    """Figures of the whole fabric, and what runs now."""

    access = Access.FABRIC
    template_name = "web/overview.html"
    fragment_template = "web/parts/overview_body.html"
    fragment_target = "overview"
    rail, title = "overview", "Overview"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        tiles = [tile for each in registry.entries(OverviewProvider, self.portal) for tile in each.tiles(self.actor)]
        frame = Shell(self.request)
        return super().get_context_data(tiles=tiles, lines=frame.tray, refresh_seconds=frame.live_seconds, **kwargs)


class NewPage(PageView):
    """NEW: what can be created, by service. The drawer shows the same list."""

    access = Access.TENANT
    template_name = "web/new.html"
    fragment_template = "web/parts/new_columns.html"
    fragment_target = "drawer-body"
    title = "New"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        columns = drawer_columns(self.portal, self.request.GET.get("service", ""))
        return super().get_context_data(**columns, new_item=None, in_drawer=self.is_fragment, **kwargs)


class SearchPage(PageView):
    """Results of the header's search, by kind."""

    access = Access.TENANT
    template_name = "web/search.html"
    title = "Search"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        text = self.request.GET.get("q", "").strip()[:100]
        found = [
            (provider, provider.search(self.actor, text, HITS_PER_KIND))
            for provider in (registry.entries(SearchProvider, self.portal) if text else ())
        ]
        groups = [(provider, hits) for provider, hits in found if hits]
        return super().get_context_data(query=text, groups=groups, total=sum(len(h) for _, h in groups), **kwargs)


class ActivityPage(PageView):
    """The tray as a page."""

    access = Access.TENANT
    template_name = "web/activity.html"
    title = "Activity"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        jobs = visible_jobs(self.actor, self.portal).prefetch_related("steps").order_by("-created_at")[:50]
        return super().get_context_data(jobs=jobs, **kwargs)


class JobPage(PageView):
    """One job with its steps."""

    access = Access.TENANT
    template_name = "web/job.html"
    title_is_name = True
    parent_label = "Activity"

    def get_parent(self) -> tuple[str, str]:
        return Shell(self.request).activity_url, self.parent_label

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        job = panel_for(self.actor, self.portal, self.kwargs["pk"])
        if job is None:
            raise Http404
        return super().get_context_data(job=job, title=job.title, **kwargs)


class JobPanelFragment(JobPage):
    """The panel alone, asked for again and again until the job is done."""

    template_name = "web/parts/job_panel.html"


class LiveParts(PageView):
    """Notification bar and tray; 204 while they look as the page already shows them."""

    access = Access.TENANT
    template_name = "web/parts/live.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        frame = Shell(request)
        if request.GET.get("v") == frame.live_version:
            return HttpResponse(status=204)
        return super().get(request, *args, **kwargs)


@require_POST
@open_to(Access.SIGNED_IN)
def dismiss_notification(request: HttpRequest, pk: int) -> HttpResponse:
    """OK on a notification."""
    dismiss(request.actor, pk)  # type: ignore[attr-defined]
    if getattr(request, "htmx", False):
        from django.shortcuts import render

        return render(request, "web/parts/live.html")
    return HttpResponseRedirect(_same_site(request, request.POST.get("next", "")))


@require_POST
@open_to(Access.PUBLIC)
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Keep auto, light or dark in a cookie; also on the sign-in page."""
    theme = request.POST.get("theme", "")
    response = HttpResponseRedirect(_same_site(request, request.POST.get("next", "")))
    if theme in THEMES:
        response.set_cookie(
            THEME_COOKIE, theme, max_age=A_YEAR, secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite="Lax"
        )
    return response


@require_POST
@open_to(Access.PUBLIC)
def choose_language(request: HttpRequest) -> HttpResponse:
    """Keep the language in Django's own cookie."""
    from django.views.i18n import set_language

    return set_language(request)
