"""The ``Negotiate`` scheme of HTTP (RFC 4559) as both sides of [MS-HGSA]'s Active Directory mode use it.

One round trip: the client's token in ``Authorization``, the server's proof in ``WWW-Authenticate``. The client binds
its token to the request by GSS-API channel bindings whose application data are :func:`binding_of` the body, so that
nobody on the way can put another key into the request (``docs/formats/hgsa.md``).
"""

import base64
import binascii
import hashlib
from typing import Final

from hgs.wire.errors import NegotiateError

SCHEME: Final = "Negotiate"
MAX_TOKEN: Final = 64 * 1024
"""Bytes of a token, decoded."""
_MAX_TEXT: Final = (MAX_TOKEN + 2) // 3 * 4
_BINDING_PREFIX: Final = b"hgs-request-sha256:"


def binding_of(body: bytes) -> bytes:
    """The application data of the channel bindings for a request with this body."""
    return _BINDING_PREFIX + hashlib.sha256(body).digest()


def write_header(token: bytes) -> str:
    """The value of either header; without a token it only names the scheme."""
    return f"{SCHEME} {base64.b64encode(token).decode()}" if token else SCHEME


def read_header(value: str) -> bytes:
    """The token in the value of either header; empty for another scheme, or for none. Raises ``NegotiateError``."""
    scheme, _, text = value.partition(" ")
    if scheme.lower() != SCHEME.lower():
        return b""
    text = text.strip(" ")
    if len(text) > _MAX_TEXT:
        raise NegotiateError(f"The token has more than {MAX_TOKEN} bytes.")
    try:
        token = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NegotiateError("The token is not base64.") from error
    if base64.b64encode(token).decode() != text:
        raise NegotiateError("The token is not base64 in its one form.")
    return token
