"""A form's field for a file that a script sends in parts while the form is being filled in; without scripts, a file."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from fabric.library import limit_of
from fabric.models import BlobKind

Arriving = "UploadedFile[Any] | UUID"
"""The file itself as part of the form, or the id of the upload that has brought it."""


class ArrivingFileInput(forms.FileInput):
    """A file input that static/web/upload.js turns into a place to drop the file, and the upload's id beside it."""

    def __init__(self, kind: BlobKind, *, accept: str, suggests: str = "") -> None:
        self.kind, self.suggests = kind, suggests
        super().__init__(attrs={"accept": accept})

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        attrs = {
            **{key: each for key, each in (attrs or {}).items() if key != "hx-preserve"},
            "data-resumable": reverse("fabric-api:uploads"),
            "data-kind": self.kind.value,
            "data-max-bytes": str(limit_of(self.kind)),
            "data-csrf-cookie": settings.CSRF_COOKIE_NAME,
            **({"data-suggests": self.suggests} if self.suggests else {}),
        }
        here = value if isinstance(value, UUID) else ""
        file = super().render(name, None, attrs, renderer)
        return format_html('{}<input type="hidden" name="{}_upload" value="{}">', file, name, here)

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        try:
            return UUID(str(data.get(f"{name}_upload", "")))
        except ValueError:
            return super().value_from_datadict(data, files, name)

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        return f"{name}_upload" not in data and super().value_omitted_from_data(data, files, name)


class ArrivingFileField(forms.FileField):
    """Cleans to an `Arriving`; whether an upload is the person's own and all here is for the command to say."""

    def to_python(self, data: Any) -> Any:
        return data if isinstance(data, UUID) else super().to_python(data)

    def clean(self, data: Any, initial: Any = None) -> Any:
        return data if isinstance(data, UUID) else super().clean(data, initial)
