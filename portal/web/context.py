"""The template variable `shell`: the frame around a page. Fragments never touch it, so it costs them nothing."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from portal.kernel.actor import Actor
from portal.web import registry
from portal.web.jobs import TrayLine, tray
from portal.web.notifications import Notice, open_notices
from portal.web.registry import Banner, Portal, RailEntry, ScopeSwitch

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "gf_theme"
PRODUCT = "Open Guarded Fabric"
BUSY_SECONDS = 3
IDLE_SECONDS = 30


@dataclass(frozen=True)
class RailLine:
    """One entry of the rail with its count (None where it has none, or could not be counted)."""

    entry: RailEntry
    url: str
    count: int | None


class Shell:
    """Lazy parts of the frame around a page."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    product = PRODUCT

    @cached_property
    def signed_in(self) -> bool:
        return bool(getattr(self.request, "user", None) and self.request.user.is_authenticated)

    @cached_property
    def actor(self) -> Actor:
        actor: Actor = self.request.actor  # type: ignore[attr-defined]
        return actor

    @cached_property
    def portal(self) -> Portal:
        portal: Portal = self.request.portal  # type: ignore[attr-defined]
        return Portal(str(portal))

    @cached_property
    def portal_name(self) -> str:
        return "Fabric console" if self.portal is Portal.FABRIC else "Tenant portal"

    @cached_property
    def theme(self) -> str:
        chosen = self.request.COOKIES.get(THEME_COOKIE, "auto")
        return chosen if chosen in THEMES else "auto"

    @property
    def themes(self) -> Sequence[str]:
        return THEMES

    @cached_property
    def languages(self) -> Sequence[tuple[str, str]]:
        return settings.LANGUAGES if len(settings.LANGUAGES) > 1 else ()

    @cached_property
    def home_url(self) -> str:
        return reverse(f"web:{self.portal}-home")

    @cached_property
    def new_url(self) -> str:
        return reverse(f"web:{self.portal}-new")

    @cached_property
    def search_url(self) -> str:
        return reverse(f"web:{self.portal}-search")

    @cached_property
    def activity_url(self) -> str:
        return reverse(f"web:{self.portal}-activity")

    @cached_property
    def help_url(self) -> str:
        return reverse(f"web:{self.portal}-help")

    @cached_property
    def live_url(self) -> str:
        return reverse(f"web:{self.portal}-live")

    @cached_property
    def has_new(self) -> bool:
        return bool(registry.entries(registry.NewItem, self.portal))

    @cached_property
    def rail(self) -> list[RailLine]:
        return [
            RailLine(entry, reverse(entry.url_name), entry.count(self.actor) if entry.count else None)
            for entry in registry.entries(RailEntry, self.portal)
        ]

    @cached_property
    def banners(self) -> list[Banner]:
        made = (provider.banner(self.request) for provider in registry.entries(registry.BannerProvider, self.portal))
        return [banner for banner in made if banner]

    @cached_property
    def scope_switch(self) -> ScopeSwitch | None:
        made = (provider.switch(self.request) for provider in registry.entries(registry.ScopeProvider, self.portal))
        return next((switch for switch in made if switch), None)

    @cached_property
    def notices(self) -> list[Notice]:
        return open_notices(self.actor, self.portal)

    @cached_property
    def tray(self) -> list[TrayLine]:
        return tray(self.actor, self.portal)

    @cached_property
    def running(self) -> int:
        return len(self.tray) - self.failures  # a job that waits for a worker is under way too

    @cached_property
    def failures(self) -> int:
        return sum(line.status.tone == "error" for line in self.tray)

    @cached_property
    def live_seconds(self) -> int:
        soon = self.running or any(notice.tone in ("busy", "done") for notice in self.notices)
        return BUSY_SECONDS if soon else IDLE_SECONDS

    @cached_property
    def live_version(self) -> str:
        """Changes whenever the notification bar or the tray would look different."""
        said = repr((self.notices, self.tray)).encode()
        return hashlib.sha256(said).hexdigest()[:16]


def shell(request: HttpRequest) -> dict[str, Any]:
    return {"shell": Shell(request)}
