"""Signing in to HGS: HGS's own accounts, in HGS's own database. A portal account means nothing here."""

from typing import Any, Final

from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError

from hgs.policy import Action, may
from portal.accounts.forms import SignInForm
from portal.accounts.models import User
from portal.kernel.actor import user_actor

MAX_PASSWORD: Final = 1024


class PersonOfHgsForm(SignInForm):
    """Admits administrators and reviewers of HGS, nobody else; the limits on guessing are the portal's."""

    def confirm_login_allowed(self, user: User) -> None:
        """Refuse accounts of other roles in the same words as a wrong password."""
        super().confirm_login_allowed(user)
        if not may(user_actor(user), Action.READ):
            raise self.get_invalid_login_error()

    def clean(self) -> dict[str, Any]:
        """Refuse at once what cannot be a password: hashing is costly."""
        if len(self.data.get("password", "")) > MAX_PASSWORD:
            raise ValidationError("The password is too long.", code="password-too-long")
        return super().clean()


class SignIn(LoginView):
    """The sign-in page of HGS."""

    template_name = "hgs/sign_in.html"
    authentication_form = PersonOfHgsForm
    next_page = "hgs:overview"
    redirect_authenticated_user = False

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Say where the person is."""
        return super().get_context_data(**kwargs) | {"auto_approve": settings.HGS_AUTO_APPROVE}


class SignOut(LogoutView):
    """Ends the session; POST only."""

    next_page = "hgs:sign-in"
