"""Tables of the portal: django-tables2 for sorting, paging and columns, one accessible template for the markup.

A table subclasses `BaseTable`, names its columns, and sets `Meta.narrow` to the columns that stay on a phone. The first
column is the object's name and a link. `StatusColumn` shows a `portal.web.status.Status`.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import django_tables2 as tables
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.web.status import Status


class NameColumn(tables.Column):
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


class StatusColumn(tables.Column):
    """Shape, word and colour; `of` turns a record into a `Status`, so that one bad row cannot empty the list."""

    def __init__(self, *args: Any, of: Callable[[Any], Status], **kwargs: Any):
        kwargs.setdefault("empty_values", ())
        kwargs.setdefault("attrs", {"td": {"class": "cell-status"}})
        kwargs.setdefault("orderable", kwargs.get("order_by") is not None or kwargs.get("accessor") is not None)
        super().__init__(*args, **kwargs)
        self.status_of = of

    def render(self, record: Any) -> SafeString:
        return render_to_string("web/parts/status.html", {"status": self.status_of(record)})


class TimeColumn(tables.Column):
    """A moment, shown in the reader's time zone with UTC on hover."""

    def render(self, value: datetime) -> SafeString:
        return render_to_string("web/parts/time.html", {"at": value})


class FingerprintColumn(tables.Column):
    """A fingerprint's beginning in monospace; the whole of it is on the object's page."""

    def render(self, value: str) -> SafeString:
        return format_html('<code class="fingerprint" title="{}">{}…</code>', value, value[:12])


class NumberColumn(tables.Column):
    """Figures, aligned at their last digit."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.setdefault("attrs", {"td": {"class": "cell-number"}, "th": {"class": "cell-number"}})
        super().__init__(*args, **kwargs)


class BaseTable(tables.Table):
    """The shape of every table: unsorted columns by default keep the query's order, the template is the shell's own."""

    class Meta:
        template_name = "web/table.html"
        narrow: tuple[str, ...] = ("name", "status")

    def is_narrow(self, column_name: str) -> bool:
        """Whether a column stays where the page is narrow."""
        meta = getattr(type(self), "Meta", BaseTable.Meta)
        return column_name in getattr(meta, "narrow", BaseTable.Meta.narrow)
