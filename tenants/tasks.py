"""Tasks of the `fabric` queue that concern tenants. Each calls a command."""

import structlog
from celery import shared_task

from portal.kernel.errors import DomainError
from tenants.commands import dependents

log = structlog.get_logger(__name__)


@shared_task(name=dependents.TASK)
def report_dependents() -> None:
    try:
        dependents.report_dependents()
    except DomainError as error:
        log.warning("dependents-not-reported", code=error.code, details=error.details)  # the clock tries again
