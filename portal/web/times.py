"""Moments as pages show them: UTC from the server, the reader's own zone once `times.js` has run."""

from datetime import UTC, datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString


def time_element(at: datetime | None) -> SafeString:
    """A `<time>` element with UTC on hover; empty for None."""
    if at is None:
        return SafeString("")
    utc = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{} UTC</time>',
        utc.isoformat(timespec="seconds"),
        utc.strftime("%Y-%m-%d %H:%M:%S"),
        utc.strftime("%Y-%m-%d %H:%M"),
    )
