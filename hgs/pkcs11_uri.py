"""Where a private key is in a token: a PKCS #11 URI (RFC 7512).

    pkcs11:token=hgs;object=guardian-2026          names, percent-encoded where they must be
    pkcs11:serial=0123456789abcdef;id=%01%02;type=private

A token is named by its label or its serial number, a key by its label or its id, more exactly by more of them. Only
these attributes are taken, each once. A PIN or the path of a module is refused: those are settings of the node, and
what names a key is stored and shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from portal.kernel.errors import Invalid

LENGTH_MAX: Final = 500
_SCHEME: Final = "pkcs11:"
_TEXTS: Final = ("token", "manufacturer", "model", "serial", "object")
_UNRESERVED: Final = ":[]@!$'()*+,=&"
"""pk11-path-reserved-avail of RFC 7512, beside what every URI may hold."""
_VALUE: Final = re.compile(r"(?:[A-Za-z0-9._~:\[\]@!$'()*+,=&-]|%[0-9A-Fa-f]{2})*")
_TEXT_MAX: Final = 100
_ID_MAX: Final = 64


@dataclass(frozen=True)
class TokenUri:
    """The token, and the key in it; empty where the URI says nothing."""

    token: str = ""
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    object: str = ""
    id: bytes = b""

    @property
    def of_token(self) -> TokenUri:
        """The token alone."""
        return TokenUri(self.token, self.manufacturer, self.model, self.serial)

    def __str__(self) -> str:
        parts = [f"{name}={quote(value, safe=_UNRESERVED)}" for name in _TEXTS if (value := getattr(self, name))]
        if self.id:
            parts.append("id=" + "".join(f"%{byte:02X}" for byte in self.id))
        return _SCHEME + ";".join(parts)


def parse_token_uri(text: str) -> TokenUri:
    """Read a URI strictly. Raises Invalid, and repeats nothing of the text but the name of an attribute."""
    if len(text) > LENGTH_MAX or not text.startswith(_SCHEME):
        raise _refused("It does not begin with pkcs11:, or is longer than 500 characters.")
    path, question, _ = text.removeprefix(_SCHEME).partition("?")
    if question:
        raise _refused("It has a query: a PIN or a module has no place in it. They are settings of the node.")
    found = _attributes(path)
    if not (found.token or found.serial):
        raise _refused("It names no token: give token= or serial=.")
    if not (found.object or found.id):
        raise _refused("It names no key: give object= or id=.")
    if len(str(found)) > LENGTH_MAX:
        raise _refused("It is longer than 500 characters.")
    return found


def _attributes(path: str) -> TokenUri:
    values: dict[str, bytes] = {}
    for part in path.split(";"):
        name, equals, value = part.partition("=")
        if name not in (*_TEXTS, "id", "type"):
            raise _refused(f"It has an attribute that HGS does not know: {name[:20]!r}.")
        if not equals or name in values or not _VALUE.fullmatch(value):
            raise _refused(f"The attribute {name} is not written as RFC 7512 says, or comes twice.")
        values[name] = unquote_to_bytes(value)
    if values.pop("type", b"private") != b"private":
        raise _refused("It names something other than a private key.")
    identifier = values.pop("id", b"")
    if len(identifier) > _ID_MAX:
        raise _refused(f"An id has at most {_ID_MAX} bytes.")
    return TokenUri(**{name: _text(name, value) for name, value in values.items()}, id=identifier)


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise _refused(f"The attribute {name} is not UTF-8.") from None
    if not text or len(text) > _TEXT_MAX or not text.isprintable():
        raise _refused(f"The attribute {name} is empty, longer than {_TEXT_MAX} characters, or cannot be printed.")
    return text


def _refused(reason: str) -> Invalid:
    return Invalid(
        "pkcs11-uri",
        f"This is no PKCS #11 URI of a private key. {reason}",
        "Write it like pkcs11:token=hgs;object=guardian-2026",
    )
