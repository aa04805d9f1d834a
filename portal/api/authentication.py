"""`Authorization: Bearer gf_<id>_<secret>`."""

from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from portal.accounts import tokens
from portal.accounts.models import ApiToken, User

KEYWORD = b"bearer"
LONGEST = 200


class TokenAuthentication(BaseAuthentication):
    """A person by an API token. A wrong token is refused rather than taken for an anonymous caller."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != KEYWORD:
            return None
        if len(parts) != 2 or len(parts[1]) > LONGEST:
            raise AuthenticationFailed("The Authorization header must be: Bearer gf_<id>_<secret>.")
        token = tokens.find(parts[1].decode("latin-1"), timezone.now())
        if token is None:
            raise AuthenticationFailed("This token is unknown, expired or revoked. Make a new one under My account.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        return 'Bearer realm="api"'


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the token is described in the OpenAPI document."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002 - theirs
        return {"type": "http", "scheme": "bearer", "description": "An API token: gf_<id>_<secret>."}
