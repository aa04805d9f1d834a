"""Forms of the account pages."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from portal.accounts import sign_in_limits


class SignInForm(AuthenticationForm):
    """Name and password, under the limits of `sign_in_limits`."""

    error_messages = {
        "invalid_login": "That name and password do not belong together. Both are case-sensitive.",
        "inactive": "This account is switched off. Ask the person who runs this portal.",
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = "User name"
        self.fields["username"].widget.attrs.update(autocapitalize="none", autocomplete="username", spellcheck="false")

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username", "")
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        wait = sign_in_limits.minutes_to_wait(username, address)
        if wait:
            raise ValidationError(
                f"Too many wrong passwords for this name or from your address. "
                f"No password is looked at now, not even the right one. Try again in {wait} minutes.",
                code="rate-limited",
            )
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            sign_in_limits.note_failure(username, address)
            raise
        sign_in_limits.forget_failures(username)
        return cleaned


class PasswordForm(forms.Form):
    """A new password; the current one proves who asks."""

    current = forms.CharField(
        label="Current password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    new = forms.CharField(
        label="New password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 12 characters. Length counts more than odd characters do.",
    )


class TokenForm(forms.Form):
    """A new API token."""

    name = forms.CharField(label="Name", max_length=60, help_text="What uses it: a script, a pipeline, a laptop.")
    days = forms.TypedChoiceField(
        label="Ends after",
        choices=[("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("0", "never")],
        coerce=int,
        initial="90",
    )
    read_only = forms.BooleanField(label="Read only", required=False, help_text="May look, and change nothing.")
