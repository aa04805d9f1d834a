"""Calling the page's modules from a test, without the page's steps."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.sync_api import Page

from hgs.keyprotection.owner_guardian import lock_owner_guardian, serialise_owner_guardian
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import owner
from tests.tenants.offline_page.walking import PASSPHRASE

OPEN_OWNER: Final = "async (file, passphrase) => (await openOwner(file, passphrase)).guardian.fingerprint"


def pkcs8(key: rsa.RSAPrivateKey) -> bytes:
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.DER, form, none)


@cache
def owner_file() -> bytes:
    """The owner's file as the command line writes it, but with few rounds, under the passphrase of the walks."""
    return serialise_owner_guardian(lock_owner_guardian(owner(), Secret(PASSPHRASE.encode()), kdf_rounds=1000))


class Core:
    """The modules of the page without its steps. Octets go in and come out as bytes."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def run(self, expression: str, *arguments: Any) -> Any:
        """What the JavaScript function `expression` gives. `Refused` with its code where the page refuses."""
        answer = self._page.evaluate(
            "async ([source, sent]) => core.run(source, sent)", [expression, [_packed(each) for each in arguments]]
        )
        if "refused" in answer:
            raise Refused(answer["refused"])
        return _unpacked(answer["given"])

    def accepts(self, expression: str, *arguments: Any) -> bool:
        """Whether `expression` is not refused."""
        try:
            self.run(expression, *arguments)
        except Refused:
            return False
        return True


class Refused(Exception):  # noqa: N818 - reads as a word
    """The page refused something; `code` is its stable code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def _packed(value: Any) -> Any:
    return {"octets": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _unpacked(value: Any) -> Any:
    return base64.b64decode(value["octets"]) if isinstance(value, dict) and set(value) == {"octets"} else value
