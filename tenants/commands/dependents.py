"""Telling HGS what depends on which of its keys, so that its administrators remove none that is still needed."""

from fabric.dispatch import enqueue
from fabric.guardian_service import fabric_client
from tenants.selectors.dependents import dependents

TASK = "tenants.report_dependents"
SOON_SECONDS = 5


def report_soon() -> None:
    """Report after the caller's transaction, a little later: changes come in groups."""
    enqueue(TASK, {}, countdown=SOON_SECONDS)


def report_dependents() -> int:
    """Send HGS the whole list; returns its length. Raises `Conflict` or `Unavailable` from HGS."""
    found = dependents()
    with fabric_client() as hgs:
        hgs.report_dependents(found)
    return len(found)
