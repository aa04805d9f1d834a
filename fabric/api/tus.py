"""Headers of the tus resumable upload protocol 1.0.0 (https://tus.io/protocols/resumable-upload), strictly.

Served are the core and the extensions creation, expiration, termination and checksum (sha256).
"""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils.http import http_date

from portal.kernel.errors import Invalid

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,expiration,termination,checksum"
ALGORITHMS: Final = "sha256"
PIECE_TYPE: Final = "application/offset+octet-stream"
METADATA_MAX: Final = 1024
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")
_KEY: Final = re.compile(r"[!-+\--~]+")  # visible ASCII but the comma


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an Upload-Metadata header says, and the header itself; unknown keys are kept in it and mean nothing."""

    header: str
    values: dict[str, str]


def read_number(text: str | None, header: str) -> int:
    """A count of bytes; raises `Invalid` (`tus-header`)."""
    if text is None or not _NUMBER.fullmatch(text):
        raise _wrong(header, "must be a number of bytes")
    return int(text)


def read_metadata(text: str) -> Metadata:
    """`key base64,key base64,…`; a key may come without a value. Raises `Invalid` (`tus-header`)."""
    if len(text) > METADATA_MAX:
        raise _wrong("Upload-Metadata", f"is longer than {METADATA_MAX} characters")
    values: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in values:
            raise _wrong("Upload-Metadata", "has an empty, repeated or unprintable key")
        values[key] = _text_of(value)
    return Metadata(text.strip(), values)


def read_checksum(text: str) -> bytes:
    """The SHA-256 in an Upload-Checksum header, 32 bytes; raises `Invalid` (`tus-header`)."""
    algorithm, _, value = text.partition(" ")
    if algorithm != ALGORITHMS:
        raise _wrong("Upload-Checksum", f"names another algorithm than {ALGORITHMS}")
    digest = _decoded(value, "Upload-Checksum")
    if len(digest) != 32:
        raise _wrong("Upload-Checksum", "is not 32 bytes of base64")
    return digest


def expires(at: datetime) -> str:
    """The value of Upload-Expires."""
    return http_date(at.timestamp())


def _text_of(value: str) -> str:
    try:
        return _decoded(value, "Upload-Metadata").decode()
    except UnicodeDecodeError as error:
        raise _wrong("Upload-Metadata", "has a value that is not UTF-8") from error


def _decoded(value: str, header: str) -> bytes:
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(header, "has a value that is not base64") from error
    if base64.b64encode(decoded).decode() != value:
        raise _wrong(header, "has a value in another than the one way to write it in base64")
    return decoded


def _wrong(header: str, what: str) -> Invalid:
    return Invalid("tus-header", f"The header {header} {what}.", "See docs/api.md, Uploads in parts.")
