"""Objects of the portal by their name or id, over its REST API."""

from __future__ import annotations

import uuid
from typing import Any, Final

from portal.cli.failure import CliError
from portal.cli.rest import RestClient

VMS: Final = "/api/v1/virtual-machines/"
FILES: Final = "/api/v1/shielding-data/"


def one_of(rest: RestClient, path: str, wanted: str, what: str) -> dict[str, Any]:
    """The one object of a list that has this name or id. Raises CliError."""
    if is_uuid(wanted):
        found: dict[str, Any] = rest.get(f"{path}{wanted}/")
        return found
    rows = list(rest.items(path, {"name": wanted}))
    if not rows:
        raise CliError(f"There is no {what} named {wanted}.")
    if len(rows) > 1:
        raise CliError(f"There are {len(rows)} named {wanted}.", "Give the id; it is in the list with --output json.")
    return rows[0]


def is_uuid(text: str) -> bool:
    """Whether it is an id rather than a name."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
