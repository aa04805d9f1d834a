"""The one detail page: DASHBOARD, CONFIGURE, ACTIVITY with their own addresses, and a quick glance at the right."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponseBase

from portal.kernel.errors import NotFound
from portal.web.commands import CommandButton, ObjectCommand
from portal.web.jobs import panel_for
from portal.web.status import Status
from portal.web.views.base import ShellView
from portal.web.views.lists import FAST_SECONDS, SLOW_SECONDS


@dataclass(frozen=True)
class Fact:
    """One line of the quick glance. Set one of the values; `help` explains the term in a sentence.

    `fingerprint` is shown grouped by four with a copy button, `at` in the reader's time zone; `copy` adds a button.
    """

    label: str
    value: str = ""
    url: str = ""
    status: Status | None = None
    at: datetime | None = None
    fingerprint: str = ""
    copy: bool = False
    help: str = ""


@dataclass(frozen=True)
class FactGroup:
    """A titled part of the quick glance."""

    title: str
    facts: Sequence[Fact] = field(default_factory=tuple)


class ObjectDetailView(ShellView):
    """One object.

    A concrete page implements `get_object()` (through `visible_to(actor)`; `NotFound` and `DoesNotExist` become 404),
    `get_glance()`, `get_status()`, and a template extending `web/detail.html` with block `dashboard`. Pivots share the
    address' kwargs: `pivots = (PivotOf("dashboard", "Dashboard", "tenants:vm", with_object=True), …)`. The body
    refreshes itself every 3 s while `in_transition()` or a current job, else every 30 s.
    """

    template_name = "web/detail.html"
    title_is_name = True
    commands: Sequence[ObjectCommand] = ()
    object: Any

    def get_object(self) -> Any:
        raise NotImplementedError

    def get_title(self) -> str:
        return str(getattr(self.object, "name", self.object))

    def get_status(self) -> Status | None:
        """The state shown beside the title."""
        return None

    def get_glance(self) -> Sequence[Fact | FactGroup]:
        return ()

    def get_job_id(self) -> str | None:
        """The kernel job to show with its steps: the current one, or the last that failed."""
        return None

    def in_transition(self) -> bool:
        return bool(getattr(self.object, "in_transition", False))

    def get_buttons(self) -> Sequence[CommandButton]:
        return [command.button(self.actor, self.object, self.object.pk) for command in self.commands]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002 - Django's signature
        self.object = self._fetch()
        return self.render_to_response(self.get_context_data())

    def _fetch(self) -> Any:
        try:
            return self.get_object()
        except (NotFound, ObjectDoesNotExist) as error:
            raise Http404 from error

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        job_id = self.get_job_id()
        return super().get_context_data(
            object=self.object,
            status=self.get_status(),
            glance=_grouped(self.get_glance()),
            job=panel_for(self.actor, self.portal, job_id) if job_id else None,
            refresh_seconds=FAST_SECONDS if self.in_transition() else SLOW_SECONDS,
            refresh_url=self.request.get_full_path(),
            **kwargs,
        )


def _grouped(lines: Sequence[Fact | FactGroup]) -> list[FactGroup]:
    groups: list[FactGroup] = []
    loose: list[Fact] = []
    for line in lines:
        if isinstance(line, FactGroup):
            groups.append(line)
        else:
            loose.append(line)
    return [FactGroup("Quick glance", loose), *groups] if loose else groups
