"""The one list of the portal: a table with sorting, filters and pages in the address, and a row selection."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django_filters import FilterSet
from django_tables2 import RequestConfig

from portal.web.commands import CommandButton, ObjectCommand, row_commands, selection_buttons
from portal.web.tables import BaseTable
from portal.web.views.base import Pivot, ShellView
from portal.web.views.guides import dismissed, guide_of, tabs

FAST_SECONDS = 3
SLOW_SECONDS = 30


@dataclass(frozen=True)
class Empty:
    """What a list says while it has no rows: one sentence, and where to go from there."""

    sentence: str
    link: str = ""
    url_name: str = ""

    @property
    def url(self) -> str:
        return reverse(self.url_name) if self.url_name else ""


class ObjectListView(ShellView):
    """A list of objects.

    A concrete list sets `table_class`, `rail`, `title`, `empty`, perhaps `filterset_class` and `commands`, and
    implements `get_rows()`: a queryset (already restricted by `visible_to(actor)`) or a sequence. A row is in
    transition when its `in_transition` attribute is true; override `in_transition(row)` otherwise.
    """

    template_name = "web/list.html"
    fragment_template = "web/parts/list_body.html"
    fragment_target = "object-list"
    table_class: ClassVar[type[BaseTable]]
    filterset_class: ClassVar[type[FilterSet] | None] = None
    commands: Sequence[ObjectCommand] = ()
    quick_start: str = ""
    empty: Empty = Empty("Nothing here yet.")
    page_size: int = 25
    max_page_size: int = 100

    def get_pivots(self) -> list[Pivot]:
        guide = guide_of(self.portal, self.quick_start) if self.quick_start else None
        if guide is None or guide.key in dismissed(self.request):
            return super().get_pivots()
        return tabs(guide, on_guide=False)

    def get_rows(self) -> "QuerySet[Any] | Sequence[Any]":
        """Rows the actor may see, in their usual order."""
        raise NotImplementedError

    def in_transition(self, row: Any) -> bool:
        return bool(getattr(row, "in_transition", False))

    def row_key(self, row: Any) -> str:
        return str(row.pk)

    def hidden_columns(self) -> Sequence[str]:
        """Columns of the table that have nothing to say now."""
        return ()

    def get_extra_buttons(self) -> Sequence[CommandButton]:
        """Buttons that need no selection, shown before those that do."""
        return ()

    def get_buttons(self) -> Sequence[CommandButton]:
        return [*self.get_extra_buttons(), *selection_buttons(self.commands)]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002 - Django's signature
        return self.render_to_response(self.get_context_data())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows = self.get_rows()
        filterset = self._filterset(rows)
        if filterset is not None and filterset.is_valid():
            rows = filterset.qs
        table = self._table(rows)
        page_rows = [row.record for row in table.page.object_list]
        table.selectable, table.key_of, table.label = bool(self.commands), self.row_key, self.get_title()
        table.command_states = self._command_states(page_rows) if self.commands else {}
        filtered = filterset is not None and any(filterset.form[name].value() for name in filterset.form.fields)
        return super().get_context_data(
            table=table,
            filterset=filterset,
            filtered=filtered,
            empty=self.empty,
            total=table.paginator.count,
            refresh_seconds=FAST_SECONDS if any(self.in_transition(row) for row in page_rows) else SLOW_SECONDS,
            refresh_url=self.request.get_full_path(),
            bulk_json=json.dumps(
                {each.key: reverse(each.bulk_url_name) for each in self.commands if each.bulk_url_name}
            ),
            **kwargs,
        )

    def _filterset(self, rows: "QuerySet[Any] | Sequence[Any]") -> FilterSet | None:
        if self.filterset_class is None:
            return None
        return self.filterset_class(self.request.GET, queryset=rows, request=self.request)

    def _table(self, rows: Iterable[Any]) -> BaseTable:
        table = self.table_class(rows, request=self.request)
        for name in self.hidden_columns():
            table.columns.hide(name)
        RequestConfig(self.request, paginate={"per_page": self._page_size(), "silent": True}).configure(table)
        return table

    def _page_size(self) -> int:
        asked = self.request.GET.get("per_page", "")
        return min(int(asked), self.max_page_size) if asked.isdecimal() and int(asked[:4]) > 0 else self.page_size

    def _command_states(self, rows: Sequence[Any]) -> dict[str, dict[str, dict[str, str]]]:
        """What each row says to the command bar about itself, by its key."""
        return {self.row_key(row): row_commands(self.commands, self.actor, row, self.row_key(row)) for row in rows}
