"""What the applications bring to the shell, registered once in each `AppConfig.ready()`.

The shell knows no application: it asks this registry what to show in the rail, the NEW drawer, the search, the
overview and the banners. Registration order does not matter; `order` does. Registering a key twice is an error,
because two applications would then quietly fight over one place.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import slugify

from portal.kernel.actor import Actor
from portal.web.status import Status

Text = str


class Portal(StrEnum):
    """The two faces of the portal, each with its own header colour and address prefix."""

    TENANT = "tenant"
    FABRIC = "fabric"


@dataclass(frozen=True)
class RailEntry:
    """One service in the left rail. A view says `rail = "<key>"` to be the current one."""

    portal: Portal
    key: str
    label: Text
    icon: str
    url_name: str
    count: Callable[[Actor], int] | None = None
    order: int = 100


@dataclass(frozen=True)
class NewItem:
    """One line of the NEW drawer. The form at `url_name` is a `CommandView` with `new_item = "<key>"`."""

    portal: Portal
    key: str
    service: Text
    service_icon: str
    label: Text
    icon: str
    description: Text
    url_name: str
    order: int = 100


@dataclass(frozen=True)
class SearchHit:
    """One result: a title that is a link, a line that tells equal names apart, and its state if it has one."""

    title: Text
    url: str
    detail: Text = ""
    status: Status | None = None


@dataclass(frozen=True)
class SearchProvider:
    """Answers the header's search with at most `limit` hits the actor may see; called with trimmed, non-empty text."""

    portal: Portal
    key: str
    label: Text
    icon: str
    search: Callable[[Actor, str, int], Sequence[SearchHit]]
    order: int = 100


@dataclass(frozen=True)
class Item:
    """One row of ALL ITEMS."""

    name: Text
    url: str
    type: Text
    icon: str
    status: Status
    in_transition: bool = False


@dataclass(frozen=True)
class ItemProvider:
    """Lists an actor's objects of one kind for ALL ITEMS, newest first, at most `limit`."""

    portal: Portal
    key: str
    items: Callable[[Actor, int], Iterable[Item]]
    order: int = 100


@dataclass(frozen=True)
class OverviewTile:
    """One figure of the overview page: "2 of 3 hosts attested", its state, and where to read on."""

    label: Text
    value: Text
    sentence: Text
    url: str
    status: Status | None = None


@dataclass(frozen=True)
class OverviewProvider:
    """Figures for the overview page of a portal."""

    portal: Portal
    key: str
    tiles: Callable[[Actor], Iterable[OverviewTile]]
    order: int = 100


@dataclass(frozen=True)
class Banner:
    """A standing sentence under the header, for a state of the whole installation."""

    text: Text
    tone: str = "warning"  # "info" | "warning" | "error"
    url: str = ""
    link: Text = ""


@dataclass(frozen=True)
class BannerProvider:
    """Says whether a banner stands for this request; must not raise and not wait on a network."""

    portal: Portal
    key: str
    banner: Callable[[HttpRequest], Banner | None]
    order: int = 100


@dataclass(frozen=True)
class ScopeOption:
    """One choice of the header's scope switch."""

    value: str
    label: Text
    current: bool = False


@dataclass(frozen=True)
class ScopeSwitch:
    """The global scope in the header (a subscription). Choosing posts `scope=<value>` and `next` to `action_url`."""

    label: Text
    options: Sequence[ScopeOption]
    action_url: str


@dataclass(frozen=True)
class ScopeProvider:
    """Makes the scope switch of a portal; None where there is nothing to choose."""

    portal: Portal
    key: str
    switch: Callable[[HttpRequest], ScopeSwitch | None]
    order: int = 100


@dataclass(frozen=True)
class GuideStep:
    """One step of a Quick Start: what to do, why, and the page or the command that does it."""

    title: Text
    text: Text
    link: Text = ""
    url_name: str = ""
    command: str = ""

    @property
    def url(self) -> str:
        return reverse(self.url_name) if self.url_name else ""


@dataclass(frozen=True)
class QuickStart:
    """The first tab of a service until a person dismisses it. A list says `quick_start = "<key>"` to show it.

    `key` is also the service's key in the rail; `list_url_name` is the page it stands before.
    """

    portal: Portal
    key: str
    title: Text
    lead: Text
    list_url_name: str
    steps: Sequence[GuideStep]
    order: int = 100


@dataclass(frozen=True)
class TargetLink:
    """How jobs and notifications link to the object they speak of, by the job's `target_type`.

    `url` returns an empty string where the actor has no page for the object (it is gone, or it is another portal's).
    """

    target_type: str
    url: Callable[[Actor, Portal, str], str]
    key: str = field(default="")


@dataclass(frozen=True)
class Routes:
    """Page addresses of an application, mounted at the root: the fabric console's begin with `fabric/`."""

    key: str
    urlconf: str
    prefix: str = ""
    order: int = 100


@dataclass(frozen=True)
class JobScopes:
    """Which scopes' jobs an actor sees in a portal ("subscription:<id>"); the fabric console sees every job."""

    portal: Portal
    key: str
    scopes: Callable[[Actor], Iterable[str]]
    order: int = 100


Entry = (
    RailEntry
    | NewItem
    | SearchProvider
    | ItemProvider
    | OverviewProvider
    | BannerProvider
    | ScopeProvider
    | QuickStart
    | TargetLink
    | JobScopes
    | Routes
)
Kind = TypeVar("Kind", bound=Entry)

_entries: dict[tuple[str, str, str], Entry] = {}


def _place(entry: Entry) -> tuple[str, str, str]:
    key = entry.target_type if isinstance(entry, TargetLink) else entry.key
    return type(entry).__name__, str(getattr(entry, "portal", "")), key


def register(*entries: Entry) -> None:
    """Add entries to the shell.

    Raises:
        ValueError: another entry of that kind, portal and key exists already and differs.
    """
    for entry in entries:
        place = _place(entry)
        if _entries.get(place, entry) != entry:
            raise ValueError(f"{' '.join(place)} is registered twice")
        _entries[place] = entry


def entries(kind: type[Kind], portal: Portal | None = None) -> list[Kind]:
    """All entries of a kind (of one portal), in the order they are shown."""
    found = [
        entry
        for entry in _entries.values()
        if isinstance(entry, kind) and (portal is None or getattr(entry, "portal", portal) is portal)
    ]
    return sorted(found, key=lambda entry: (getattr(entry, "order", 100), _place(entry)))


@dataclass(frozen=True)
class NewService:
    """A service of the NEW drawer with its items."""

    label: Text
    icon: str
    slug: str
    items: tuple[NewItem, ...]


def new_services(portal: Portal) -> list[NewService]:
    """The drawer's services, in the order of their first item."""
    found: dict[str, list[NewItem]] = {}
    for item in entries(NewItem, portal):
        found.setdefault(item.service, []).append(item)
    return [NewService(label, items[0].service_icon, slugify(label), tuple(items)) for label, items in found.items()]


def target_url(actor: Actor, portal: Portal, target_type: str, target_id: str) -> str:
    """The page of a job's target, or an empty string."""
    for link in entries(TargetLink):
        if link.target_type == target_type:
            return link.url(actor, portal, target_id)
    return ""
