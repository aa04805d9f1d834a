"""Identifiers of our objects: random UUIDs, shown by their first eight digits where a person reads them."""

import uuid


def new_id() -> uuid.UUID:
    return uuid.uuid4()


def short(identifier: uuid.UUID | str) -> str:
    return str(identifier)[:8]
