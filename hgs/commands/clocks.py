"""Noting how clocks differ: a node's from the database's, a host's from HGS's."""

import logging
import socket
import threading
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import DatabaseError, connection
from django.utils import timezone

from hgs.models import Attestation, ClockKind, ClockReading

BEAT_SECONDS: Final = 60.0
TOLERATED: Final = timedelta(seconds=30)
"""A host's clock that is off by less is not noted: messages take their time, and HTTP dates have whole seconds."""
FORGOTTEN_AFTER: Final = timedelta(days=1)
"""A node that was not heard of for so long is no node any more."""

log = logging.getLogger(__name__)


def beat() -> ClockReading:
    """Note that this node lives, and how far its clock is ahead of the database's. Forgets nodes that are gone."""
    ours = timezone.now()
    theirs = database_time()
    name = socket.gethostname()
    reading, _ = ClockReading.objects.update_or_create(
        kind=ClockKind.NODE,
        subject=name,
        defaults={"name": name, "at": theirs, "ahead_seconds": (ours - theirs).total_seconds()},
    )
    ClockReading.objects.filter(kind=ClockKind.NODE, at__lt=theirs - FORGOTTEN_AFTER).delete()
    return reading


def database_time() -> datetime:
    """The database's own clock; where the database is a file, that is this machine's."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found = cursor.fetchone()[0]
    return found if isinstance(found, datetime) else datetime.now(UTC)


def keep_beating(ending: threading.Event) -> None:
    """Beat until ``ending`` is set, in a thread of the serving process; a database that is away ends nothing."""
    while True:
        try:
            beat()
        except DatabaseError:
            log.warning("this node could not note that it lives", exc_info=True)
        finally:
            connection.close()
        if ending.wait(BEAT_SECONDS):
            return


def note_host_clock(attestation_id: UUID, said: datetime, now: datetime) -> None:
    """Note that the host of a proven attestation has a clock that is off; a clock that is right is no news."""
    ahead = said - now
    if abs(ahead) <= TOLERATED:
        return
    found = Attestation.objects.filter(pk=attestation_id, proven=True).exclude(host_name="").first()
    if found is None:
        return
    ClockReading.objects.update_or_create(
        kind=ClockKind.HOST,
        subject=found.identity,
        defaults={"name": found.host_name, "at": now, "ahead_seconds": ahead.total_seconds()},
    )
