"""What every page of the shell has: an access decision, a title, pivots, commands and a place in the rail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.views.generic.base import ContextMixin, TemplateResponseMixin, View

from portal.kernel.actor import Actor
from portal.web.access import Access
from portal.web.commands import CommandButton
from portal.web.registry import Portal


class ShellRequest(HttpRequest):
    """A request as `ShellMiddleware` leaves it; for types only."""

    actor: Actor
    portal: Portal
    request_id: str
    htmx: Any


@dataclass(frozen=True)
class Pivot:
    """A tab below the title, with an address of its own."""

    label: str
    url: str
    current: bool = False
    count: int | None = None


@dataclass(frozen=True)
class PivotOf:
    """A tab by the name of its route; `kwargs` of the current page are passed on where `with_object` is set."""

    key: str
    label: str
    url_name: str
    with_object: bool = False


class ShellView(TemplateResponseMixin, ContextMixin, View):
    """A page of the shell.

    Class attributes a page sets: `access` (who), `rail` (key of the current `RailEntry`), `title`, `pivots` and
    `pivot` (its own key among them), `template_name`. A fragment for htmx is the same page rendered by
    `fragment_template`, chosen when the request's `HX-Target` equals `fragment_target`.
    """

    access: ClassVar[Access | None] = None
    rail: str = ""
    title: str = ""
    title_is_name: bool = False  # an object's name keeps its capitals
    subtitle: str = ""
    pivots: Sequence[PivotOf] = ()
    pivot: str = ""
    parent_url_name: str = ""
    parent_label: str = ""
    fragment_template: str = ""
    fragment_target: str = ""
    request: ShellRequest

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """As Django's, but `access` may be given here although pages declare it on the class."""
        return super().as_view(**initkwargs)

    @property
    def actor(self) -> Actor:
        return self.request.actor

    @property
    def portal(self) -> Portal:
        return self.request.portal

    def get_title(self) -> str:
        return self.title

    def get_subtitle(self) -> str:
        return self.subtitle

    def get_pivots(self) -> list[Pivot]:
        return [
            Pivot(
                tab.label,
                reverse(tab.url_name, kwargs=self.kwargs if tab.with_object else None),
                current=tab.key == self.pivot,
            )
            for tab in self.pivots
        ]

    def get_parent(self) -> tuple[str, str] | None:
        """Address and label of the page above, for the way back on small screens and in the title's crumb."""
        return (reverse(self.parent_url_name), self.parent_label) if self.parent_url_name else None

    def get_buttons(self) -> Sequence[CommandButton]:
        """Buttons of the command bar."""
        return ()

    def get_template_names(self) -> list[str]:
        if self.is_fragment:
            return [self.fragment_template]
        return super().get_template_names()

    @property
    def is_fragment(self) -> bool:
        htmx = getattr(self.request, "htmx", None)
        return bool(self.fragment_template and htmx and htmx.target == self.fragment_target)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        context.setdefault("title", self.get_title())
        context.setdefault("subtitle", self.get_subtitle())
        context.setdefault("pivots", self.get_pivots())
        context.setdefault("parent", self.get_parent())
        context.setdefault("buttons", self.get_buttons())
        context.setdefault("title_is_name", self.title_is_name)
        context["rail_key"] = self.rail
        return context


class PageView(ShellView):
    """A page that only shows: set `template_name` and extend `get_context_data`."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002 - Django's signature
        return self.render_to_response(self.get_context_data())
