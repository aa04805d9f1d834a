"""How the HGS console writes fingerprints, times and states."""

import re
from datetime import UTC, datetime
from typing import Final

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from hgs.keyprotection.certificates import grouped
from hgs.selectors.policy_dry_run import PolicyForecast
from hgs.selectors.stored_boots import Expectation

register = template.Library()
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

# shape and colour beside the word, so that none of the three carries the meaning alone
_STATES: Final = {
    "passed": ("ok", "ok"),
    "approved": ("ok", "ok"),
    "enabled": ("ok", "ok"),
    "locked": ("trust", "locked"),
    "released": ("ok", "ok"),
    "pending": ("warning", "pending"),
    "skipped": ("muted", "skipped"),
    "disabled": ("muted", "stopped"),
    "rejected": ("muted", "stopped"),
    "failed": ("error", "failed"),
    "refused": ("error", "failed"),
    "attested": ("ok", "attested"),
    "host-refused": ("error", "refused"),
    "never": ("muted", "unknown"),
    "added": ("ok", "added"),
    "removed": ("error", "removed"),
    "changed": ("warning", "changed"),
    "look-twice": ("warning", "warning"),
    "warning": ("warning", "warning"),
    "pass": ("ok", "ok"),
    "fail": ("error", "failed"),
    "current": ("ok", "ok"),
    "superseded": ("muted", "stopped"),
    "primary": ("trust", "attested"),
    "expired": ("warning", "warning"),
}


@register.simple_tag
def state(name: str, word: str = "") -> SafeString:
    """A state as shape, colour and word."""
    tone, shape = _STATES.get(name, ("muted", "unknown"))
    text = word or name.replace("-", " ").capitalize()
    return format_html(
        '<span class="state {}"><svg class="shape" aria-hidden="true"><use href="{}#{}"></use></svg> {}</span>',
        tone,
        static("hgs/shapes.svg"),
        shape,
        text,
    )


@register.simple_tag
def fingerprint(value: str, length: int = 64) -> SafeString:
    """A fingerprint in groups of four, at most ``length`` digits, with a copy button for the whole of it."""
    if not value:
        return format_html('<span class="muted">{}</span>', "–")
    shown = grouped(value[:length]) + (" …" if len(value) > length else "")
    if length < len(value):
        return format_html('<span class="mono" title="{}">{}</span>', grouped(value), shown)
    return format_html(
        '<span class="mono">{}</span> <button class="button plain" type="button" data-copy="{}" hidden>Copy</button>',
        shown,
        value,
    )


@register.simple_tag
def moment(value: datetime | None, missing: str = "–") -> SafeString:
    """A time in UTC; the script turns it into local time and keeps UTC as the title."""
    if value is None:
        return format_html('<span class="muted">{}</span>', missing)
    utc = value.astimezone(UTC)
    return format_html('<time datetime="{}">{}</time>', utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S} UTC")


@register.simple_tag
def fact(value: str) -> SafeString:
    """A fact about a submitted file; SHA-256 digests are written as fingerprints."""
    return fingerprint(value) if _DIGEST.fullmatch(value) else format_html("{}", value)


@register.filter
def outlook(forecast: PolicyForecast) -> str:
    """What a change would do to hosts, in one sentence."""
    said = [
        f"{count} host{'' if count == 1 else 's'} would {words}"
        for expectation, words in ((Expectation.FAILS, "no longer pass"), (Expectation.PASSES, "pass that do not now"))
        if (count := sum(1 for change in forecast.changes if change.after.expectation is expectation))
    ]
    return f"{'; '.join(said)}." if said else "No host would fare otherwise."
