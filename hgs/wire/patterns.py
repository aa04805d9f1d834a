"""Patterns of documents, made from a document as the writer writes it.

A tree of elements takes most of the time that reading a short document takes. A pattern reads those that look exactly
as the writer would have written them, and no others: what it does not match is read, or refused with its reason, by the
strict reader of `xmlform`. Whoever uses one compares what the writer makes of the values with the bytes it read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

BASE64: Final = rb"([A-Za-z0-9+/]+={0,2})"
UNSIGNED: Final = rb"(0|[1-9][0-9]{0,9})"
PLAIN: Final = rb"([ !#-%'-;=?-~]+)"
"""Text of ASCII characters that look the same in text and in attributes, whatever writes them."""


def pattern_of(sample: bytes, values: Mapping[bytes, bytes]) -> re.Pattern[bytes]:
    """The pattern of everything that differs from ``sample`` in these values alone.

    ``values``: a piece that stands in the sample exactly once, and the expression for what may stand there, one group.
    Raises ValueError for a sample that does not do.
    """
    if any(sample.count(piece) != 1 for piece in values):
        raise ValueError("A value of the sample does not stand in it exactly once.")
    places = sorted((sample.index(piece), piece) for piece in values)
    expression, end = [], 0
    for at, piece in places:
        expression += [re.escape(sample[end:at]), values[piece]]
        end = at + len(piece)
    return re.compile(b"".join([*expression, re.escape(sample[end:])]))


def base64_value(text: bytes, most: int) -> bytes:
    """What the text says, 1 to ``most`` bytes. Raises ValueError. That it is the one form is the writer's to say."""
    if len(text) > (most + 2) // 3 * 4:
        raise ValueError
    value = binascii.a2b_base64(text, strict_mode=True)
    if not 0 < len(value) <= most:
        raise ValueError
    return value


def text_of(value: bytes) -> bytes:
    """How bytes stand in a document."""
    return base64.b64encode(value)
