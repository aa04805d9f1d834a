"""Tags of the shell's templates: `{% load shell %}`."""

import re
from datetime import datetime, timedelta
from typing import Any

from django import forms, template
from django.template import Context
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from portal.web.jobs import job_status
from portal.web.status import Status
from portal.web.times import time_element

register = template.Library()

_GROUP = 4
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite; decoration unless it has a label."""
    address = f"{static('web/icons.svg')}#{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"></use></svg>', label, address)
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"></use></svg>', address)


@register.inclusion_tag("web/parts/status.html")
def status(state: Status) -> dict[str, Any]:
    """A state as shape, word and colour."""
    return {"status": state}


@register.simple_tag
def moment(at: datetime | None) -> SafeString:
    """A moment; a script shows it in the reader's time zone, UTC stays on hover."""
    return time_element(at)


@register.inclusion_tag("web/parts/fingerprint.html")
def fingerprint(text: str) -> dict[str, Any]:
    """Hexadecimal digits as gf and HGS write them, in upper case by four; a button copies the plain text."""
    groups = " ".join(text[index : index + _GROUP].upper() for index in range(0, len(text), _GROUP))
    return {"text": text, "groups": groups}


@register.inclusion_tag("web/parts/job_panel.html")
def job_panel(job: Any) -> dict[str, Any]:
    """The steps of a `portal.web.jobs.JobPanel`, live until the job has ended."""
    return {"job": job}


@register.filter
def duration(span: timedelta | None) -> str:
    """A span as a person says it: "8 s", "2 min 5 s", "1 h 20 min"."""
    if span is None:
        return ""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


@register.filter
def breakable(code: str) -> SafeString:
    """A long code such as "SecureBootEnabled" that may break before each capital, so that it fits a narrow column."""
    return format_html_join(mark_safe("<wbr>"), "{}", ((part,) for part in _HUMP.split(code)))


@register.filter
def quiet(title: str) -> str:
    """A page title in the portal's manner, beginning small: "virtual machines", but "API tokens"."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


@register.filter
def state_of(job: Any) -> Status:
    """A kernel job's state."""
    return job_status(job)


def _is_more(form: forms.BaseForm, field: forms.BoundField) -> bool:
    return field.name in getattr(form, "more_fields", ())


@register.filter
def plain_fields(form: forms.BaseForm) -> list[forms.BoundField]:
    """The fields a form asks for at once."""
    return [field for field in form.visible_fields() if not _is_more(form, field)]


@register.filter
def more_fields(form: forms.BaseForm) -> list[forms.BoundField]:
    """The fields behind "more": those the form names in `more_fields`."""
    return [field for field in form.visible_fields() if _is_more(form, field)]


@register.filter
def any_errors(fields: list[forms.BoundField]) -> bool:
    """Whether one of these fields has an error, so that what hides them must be open."""
    return any(field.errors for field in fields)


@register.filter
def kind_of(field: forms.BoundField) -> str:
    """`check` for a single check box, else "field"."""
    return "check" if isinstance(field.field.widget, forms.CheckboxInput) else "field"


@register.simple_tag(takes_context=True)
def draw(context: Context, field: forms.BoundField) -> SafeString:
    """A form field with what assistive technology needs: its help and its error, by id."""
    attrs: dict[str, Any] = {}
    described = [f"{field.auto_id}-help"] if field.help_text else []
    if field.errors:
        attrs["aria-invalid"] = "true"
        described.append(f"{field.auto_id}-error")
    if described:
        attrs["aria-describedby"] = " ".join(described)
    if isinstance(field.field.widget, forms.FileInput) and context.get("in_drawer"):
        attrs["hx-preserve"] = "true"  # a chosen file survives an error elsewhere in the form
    return field.as_widget(attrs=attrs)
