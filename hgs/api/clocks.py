"""The clock of a host, from the Date of its request: it says why certificates look expired, and decides nothing."""

import logging
from datetime import datetime
from email.utils import parsedate_to_datetime
from uuid import UUID

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from hgs.commands.clocks import note_host_clock

log = logging.getLogger(__name__)


def note_clock(request: HttpRequest, response: HttpResponse) -> None:
    """Compare the host's clock with ours, where it told the time and the request ended an attestation."""
    said, attestation = _date(request), response.get("Attestation-Id")
    if said is None or not attestation:
        return
    try:
        note_host_clock(UUID(attestation), said, timezone.now())
    except DatabaseError:
        log.warning("a host's clock could not be noted", exc_info=True)


def _date(request: HttpRequest) -> datetime | None:
    text = request.headers.get("Date", "")
    if not text or len(text) > 64:
        return None
    try:
        said = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError):
        return None
    return said if said.tzinfo else None
