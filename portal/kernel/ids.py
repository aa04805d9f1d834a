"""Identifiers of our objects: random UUIDs, shown by their first eight digits where a person reads them."""

import secrets
import time
import uuid


def new_id() -> uuid.UUID:
    return uuid.uuid4()


def short(identifier: uuid.UUID | str) -> str:
    return str(identifier)[:8]


def new_ordered_id() -> uuid.UUID:
    """A random UUID that begins with the time (version 7 of RFC 9562), for rows of which there come many.

    An index takes those that come at one time up in one place, so that few of its pages change. The first 48 bits say
    when, in milliseconds: only for what shows its time anyway.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)
