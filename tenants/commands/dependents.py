"""Telling HGS what depends on which of its keys, so that its administrators remove none that is still needed."""

import structlog

from fabric.dispatch import enqueue
from fabric.guardian_service import fabric_client
from tenants.selectors.dependents import dependents

log = structlog.get_logger(__name__)
TASK = "tenants.report_dependents"
SOON_SECONDS = 5
MOST = 10_000


def report_soon() -> None:
    """Report after the caller's transaction, a little later: changes come in groups."""
    enqueue(TASK, {}, countdown=SOON_SECONDS)


def report_dependents() -> int:
    """Send HGS the whole list; returns its length. Raises `Conflict` or `Unavailable` from HGS.

    HGS takes `MOST`. Of a larger fabric it hears what names an older guardian first; our log says how many were cut.
    """
    found = dependents()
    if len(found) > MOST:
        log.warning("dependents-cut", left_out=len(found) - MOST)
    with fabric_client() as hgs:
        hgs.report_dependents(found[:MOST])
    return min(len(found), MOST)
