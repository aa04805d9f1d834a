"""Tables of the portal: django-tables2 for sorting, paging and columns, one accessible template for the markup.

A table subclasses `BaseTable`, names its columns, and sets `Meta.narrow` to the columns that stay on a phone. The first
column is the object's name and a link. `StatusColumn` shows a `portal.web.status.Status`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import django_tables2 as tables
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

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


def short_list(items: Sequence[tuple[str, str]], most: int = 2) -> SafeString:
    """(text, address or "") pairs one below the other, the first few and how many more there are; a dash for none."""
    if not items:
        return mark_safe('<span class="muted">–</span>')
    shown = [format_html('<li><a href="{1}">{0}</a></li>' if url else "<li>{0}</li>", text, url) for text, url in items]
    more = len(items) - most
    if more > 0:
        shown = [*shown[:most], format_html('<li class="muted">and {} more</li>', more)]
    return format_html('<ul class="cell-list">{}</ul>', format_html_join("", "{}", ((each,) for each in shown)))


class ListColumn(tables.Column):  # type: ignore[misc]
    """Several things in one cell; the table's `render_<column>` gives them by `short_list`."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{"empty_values": (), "orderable": False, **kwargs})


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
    """A row ready to draw: its cells with their classes, and what it says to the command bar.

    `group` is the heading that stands above it, where a group of rows begins.
    """

    key: str
    label: str
    cells: list[tuple[Any, str]]
    commands: str
    group: str = ""


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

    @property
    def width(self) -> int:
        """How many columns the table has, that of the selection included."""
        return len(self.columns) + int(self.selectable)

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

    def group_of(self, record: Any) -> str:  # noqa: ARG002 - for tables whose rows come in groups
        """The heading of the group a row belongs to; rows of a group come one after the other."""
        return ""

    def lines(self) -> Iterator[Line]:
        last = ""
        for row in self.paginated_rows:
            key = self.key_of(row.record)
            cells = [(cell, self._css(column, "td")) for column, cell in row.items()]
            label = str(getattr(row.record, "name", "") or key)
            group = "" if self.order_by else self.group_of(row.record)
            yield Line(key, label, cells, json.dumps(self.command_states.get(key, {})), group if group != last else "")
            last = group

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
