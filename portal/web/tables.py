"""Tables of the portal: django-tables2 for sorting, paging and columns, one accessible template for the markup.

A table subclasses `BaseTable`, names its columns, and sets `Meta.narrow` to the columns that stay on a phone. The first
column is the object's name and a link. `StatusColumn` shows a `portal.web.status.Status`.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import django_tables2 as tables
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.web.status import Status
from portal.web.times import time_element


class NameColumn(tables.Column):  # type: ignore[misc]
    """The object's name as the link to its page; `url` turns a record into an address."""

    def __init__(self, *args: Any, url: Callable[[Any], str], icon: Callable[[Any], str] | None = None, **kwargs: Any):
        kwargs.setdefault("attrs", {"td": {"class": "cell-name"}})
        super().__init__(*args, **kwargs)
        self.url_of, self.icon_of = url, icon

    def render(self, value: Any, record: Any) -> SafeString:
        return render_to_string(
            "web/parts/name_cell.html",
            {
                "name": value,
                "url": self.url_of(record),
                "icon": self.icon_of(record) if self.icon_of else "",
                "key": getattr(record, "pk", value),
            },
        )


class StatusColumn(tables.Column):  # type: ignore[misc]
    """Shape, word and colour; `of` turns a record into a `Status`, so that one bad row cannot empty the list."""

    def __init__(self, *args: Any, of: Callable[[Any], Status], **kwargs: Any):
        kwargs.setdefault("empty_values", ())
        kwargs.setdefault("attrs", {"td": {"class": "cell-status"}})
        kwargs.setdefault("orderable", kwargs.get("order_by") is not None or kwargs.get("accessor") is not None)
        super().__init__(*args, **kwargs)
        self.status_of = of

    def render(self, record: Any) -> SafeString:
        return render_to_string("web/parts/status.html", {"status": self.status_of(record)})


class TimeColumn(tables.Column):  # type: ignore[misc]
    """A moment, shown in the reader's time zone with UTC on hover."""

    def render(self, value: datetime) -> SafeString:
        return time_element(value)


class FingerprintColumn(tables.Column):  # type: ignore[misc]
    """A fingerprint's beginning in monospace; the whole of it is on the object's page."""

    def render(self, value: str) -> SafeString:
        return format_html('<code class="fingerprint" title="{}">{}…</code>', value, value[:12])


class NumberColumn(tables.Column):  # type: ignore[misc]
    """Figures, aligned at their last digit."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.setdefault("attrs", {"td": {"class": "cell-number"}, "th": {"class": "cell-number"}})
        super().__init__(*args, **kwargs)


@dataclass(frozen=True)
class Head:
    """A column's head, ready to draw; `sort_url` is empty where the column does not sort."""

    name: str
    text: str
    css: str
    aria_sort: str = ""
    sort_url: str = ""


@dataclass(frozen=True)
class Line:
    """A row ready to draw: its cells with their classes, and what it says to the command bar."""

    key: str
    label: str
    cells: list[tuple[Any, str]]
    commands: str


class BaseTable(tables.Table):  # type: ignore[misc]
    """The shape of every table; `heads()` and `lines()` are what the template draws."""

    class Meta:
        template_name = "web/table.html"
        narrow: tuple[str, ...] = ("name", "status")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.selectable = False
        self.label = ""
        self.key_of: Callable[[Any], str] = lambda record: str(getattr(record, "pk", ""))
        self.command_states: dict[str, Any] = {}

    def _css(self, column: Any, cell: str) -> str:
        meta = getattr(type(self), "Meta", BaseTable.Meta)
        narrow = getattr(meta, "narrow", BaseTable.Meta.narrow)
        wide = "" if column.name in narrow else "cell-wide"
        own = (column.column.attrs.get(cell) or {}).get("class", "")
        return f"{wide} {own}".strip()

    def heads(self) -> list[Head]:
        return [self._head(column) for column in self.columns]

    def _head(self, column: Any) -> Head:
        css = self._css(column, "th")
        if not column.orderable or getattr(self, "request", None) is None:
            return Head(column.name, column.header, css)
        alias = column.order_by_alias
        sort = ("descending" if alias.is_descending else "ascending") if column.is_ordered else "none"
        parameters = self.request.GET.copy()
        parameters[self.prefixed_order_by_field] = alias.next
        parameters.pop(self.prefixed_page_field, None)
        return Head(column.name, column.header, css, sort, f"?{parameters.urlencode()}")

    def lines(self) -> Iterator[Line]:
        for row in self.paginated_rows:
            key = self.key_of(row.record)
            cells = [(cell, self._css(column, "td")) for column, cell in row.items()]
            label = str(getattr(row.record, "name", "") or key)
            yield Line(key, label, cells, json.dumps(self.command_states.get(key, {})))

    @property
    def page_numbers(self) -> list[tuple[str, str, bool]]:
        """Page links as (text, address, current); an ellipsis has no address."""
        page = getattr(self, "page", None)
        if page is None or page.paginator.num_pages < 2:
            return []
        return [
            (str(number), "" if number == page.paginator.ELLIPSIS else self._page_url(number), number == page.number)
            for number in page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1)
        ]

    def _page_url(self, number: int | str) -> str:
        parameters = self.request.GET.copy()
        parameters[self.prefixed_page_field] = str(number)
        return f"?{parameters.urlencode()}"
