"""Signing in and out, and a person's own account: password, API tokens, sessions."""

from typing import Any

from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import LoginView, LogoutView
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from portal.accounts import commands
from portal.accounts.forms import PasswordForm, SignInForm, TokenForm
from portal.accounts.models import ApiToken, SignIn, User
from portal.web.access import Access
from portal.web.commands import CommandButton
from portal.web.views import CommandView, Outcome, PageView, PivotOf

PIVOTS = (
    PivotOf("profile", "Profile", "accounts:profile"),
    PivotOf("tokens", "API tokens", "accounts:tokens"),
    PivotOf("sessions", "Sessions", "accounts:sessions"),
)


class SignInView(LoginView):
    """The only page an anonymous visitor sees."""

    access = Access.PUBLIC
    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: Any) -> HttpResponse:
        limited = any(error.code == "rate-limited" for error in form.non_field_errors().as_data())
        return self.render_to_response(self.get_context_data(form=form), status=429 if limited else 422)


class SignOutView(LogoutView):
    """POST only; leads back to the sign-in page."""

    access = Access.SIGNED_IN
    next_page = "accounts:sign-in"


class AccountPage(PageView):
    """A page of one's own account."""

    access = Access.SIGNED_IN
    title = "My account"
    rail = "my-account"
    pivots = PIVOTS

    @property
    def user(self) -> User:
        assert isinstance(self.request.user, User)  # noqa: S101 - the access decision let nobody else through
        return self.request.user


class ProfileView(AccountPage):
    template_name = "accounts/profile.html"
    pivot = "profile"

    def get_buttons(self) -> list[CommandButton]:
        return [CommandButton("password", "Password", "key-round", reverse("accounts:password"))]


class TokensView(AccountPage):
    template_name = "accounts/tokens.html"
    pivot = "tokens"

    def get_buttons(self) -> list[CommandButton]:
        return [CommandButton("token", "New token", "plus", reverse("accounts:token-new"))]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows = ApiToken.objects.filter(user=self.user, revoked_at=None).select_related("user")
        now = timezone.now()
        return super().get_context_data(tokens=[(row, row.is_usable(now)) for row in rows], **kwargs)


class SessionsView(AccountPage):
    template_name = "accounts/sessions.html"
    pivot = "sessions"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows = list(SignIn.objects.filter(user=self.user))
        keys = [row.session_key for row in rows]
        alive = set(
            Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now()).values_list("pk", flat=True)
        )
        return super().get_context_data(
            sign_ins=[row for row in rows if row.session_key in alive],
            this_session=self.request.session.session_key,
            **kwargs,
        )


class AccountCommand(CommandView):
    """A change to one's own account."""

    access = Access.SIGNED_IN
    rail = "my-account"
    parent_label = "My account"
    parent_url_name = "accounts:profile"

    @property
    def user(self) -> User:
        assert isinstance(self.request.user, User)  # noqa: S101 - the access decision let nobody else through
        return self.request.user


class PasswordView(AccountCommand):
    title, submit_label = "Change password", "Change password"
    form_class = PasswordForm

    def run(self, data: dict[str, Any]) -> Outcome:
        commands.change_password(self.actor, self.user, current=data["current"], new=data["new"])
        update_session_auth_hash(self.request, self.user)
        return Outcome(reverse("accounts:profile"), "Your password was changed. Your other sessions have ended.")


class NewTokenView(AccountCommand):
    """The one moment a token is shown: in the answer to the form, never in an address or a notification."""

    title, submit_label = "New API token", "Create token"
    form_class = TokenForm
    parent_url_name = "accounts:tokens"
    parent_label = "API tokens"
    minted: tuple[ApiToken, str] | None = None

    def run(self, data: dict[str, Any]) -> Outcome:
        self.minted = commands.create_token(
            self.actor, self.user, name=data["name"], days=data["days"] or None, read_only=data["read_only"]
        )
        return Outcome(reverse("accounts:tokens"), f"Token {data['name']} was created.")

    def succeed(self, outcome: Outcome) -> HttpResponse:  # noqa: ARG002 - the token itself is the answer
        assert self.minted is not None  # noqa: S101 - run() has just made it
        token, text = self.minted
        context = self.get_context_data(token=token, token_text=text, form=None)
        return self.response_class(
            self.request, "accounts/token_made.html", context, headers={"Cache-Control": "no-store"}
        )


class RevokeTokenView(AccountCommand):
    title, submit_label, destructive = "Revoke API token", "Revoke", True
    parent_url_name = "accounts:tokens"
    parent_label = "API tokens"

    def get_object(self) -> ApiToken:
        return get_object_or_404(ApiToken, user=self.user, key_id=self.kwargs["key_id"], revoked_at=None)

    def consequences(self) -> list[str]:
        return [f"Whatever uses {self.object.name} is refused from now on.", "A revoked token cannot be brought back."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002 - nothing is asked
        token = commands.revoke_token(self.actor, self.user, self.kwargs["key_id"])
        return Outcome(reverse("accounts:tokens"), f"Token {token.name} was revoked.")


class EndSessionView(AccountCommand):
    title, submit_label, destructive = "End session", "End session", True
    parent_url_name = "accounts:sessions"
    parent_label = "Sessions"

    def get_object(self) -> SignIn:
        return get_object_or_404(SignIn, user=self.user, pk=self.kwargs["pk"])

    def consequences(self) -> list[str]:
        return [f"The browser at {self.object.address} is signed out at once."]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002 - nothing is asked
        commands.end_session(self.actor, self.user, self.kwargs["pk"])
        return Outcome(reverse("accounts:sessions"), "The session was ended.")
