"""Telling HGS what depends on which of its keys, so that its administrators remove none that is still needed."""

import json
from itertools import accumulate
from typing import Any

import structlog

from fabric.dispatch import enqueue
from fabric.guardian_service import fabric_client
from tenants.selectors.dependents import dependents

log = structlog.get_logger(__name__)
TASK = "tenants.report_dependents"
SOON_SECONDS = 5
MOST = 10_000
BYTES_MOST = 7 * 2**20 - 1024


def report_soon() -> None:
    """Report after the caller's transaction, a little later: changes come in groups."""
    enqueue(TASK, {}, countdown=SOON_SECONDS)


def report_dependents() -> int:
    """Send HGS the whole list; returns its length. Raises `Conflict` or `Unavailable` from HGS.

    HGS takes `MOST` in at most `BYTES_MOST`. Of a larger fabric it hears first what names an older guardian; our
    log says how many were cut.
    """
    found = dependents()
    told = found[: _fitting(found)]
    if len(told) < len(found):
        log.warning("dependents-cut", left_out=len(found) - len(told))
    with fabric_client() as hgs:
        hgs.report_dependents(told)
    return len(told)


def _fitting(found: list[dict[str, Any]]) -> int:
    """How many of the first ones HGS takes in one request."""
    sizes = accumulate(len(json.dumps(entry)) + 2 for entry in found[:MOST])
    return sum(size <= BYTES_MOST for size in sizes)
