"""Messages to hosts and to the control plane's own workers.

A message is written down in the transaction that causes it and leaves when that commits, so that nobody ever hears of
what was rolled back. If the broker is away then, it leaves later: `send_waiting` is called by the clock. A message may
therefore arrive twice; tasks are written for that.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from fabric.models import Assignment, Host
from fabric.models.outbox import OutgoingMessage
from portal.celery import app

log = structlog.get_logger(__name__)
KEPT_FOR = timedelta(minutes=15)
"""What could not be sent for so long is dropped; its job, if any, is reaped by then."""


def tell_host(host: Host, task: str, arguments: Mapping[str, Any]) -> None:
    """Send a task without a job to the host's own queue on commit."""
    _post(task, arguments, host.queue)


def assign_job(job_id: UUID, host: Host, task: str, arguments: Mapping[str, Any]) -> None:
    """Give a job to a host: from now on only this host may report on it."""
    Assignment.objects.update_or_create(job_id=job_id, defaults={"host": host, "task": task})
    tell_host(host, task, {"job_id": str(job_id), **arguments})


def enqueue(task: str, arguments: Mapping[str, Any], *, countdown: float = 0) -> None:
    """Send a control-plane task to the `fabric` queue on commit, to be run `countdown` seconds later."""
    _post(task, arguments, "fabric", countdown)


def send_waiting(now: datetime) -> int:
    """Send what could not be sent when it was written; returns how many left."""
    OutgoingMessage.objects.filter(expires_at__lt=now).delete()
    waiting = OutgoingMessage.objects.filter(created_at__lt=now - timedelta(seconds=5), not_before__lte=now)
    sent = 0
    for message in waiting[:500]:
        if not _deliver(message.pk, message.task, message.arguments, message.queue):
            break
        sent += 1
    return sent


def _post(task: str, arguments: Mapping[str, Any], queue: str, countdown: float = 0) -> None:
    now = timezone.now()
    not_before = now + timedelta(seconds=countdown)
    message = OutgoingMessage.objects.create(
        task=task, arguments=dict(arguments), queue=queue, not_before=not_before, expires_at=now + KEPT_FOR
    )
    transaction.on_commit(lambda: _deliver(message.pk, task, message.arguments, queue, countdown))


def _deliver(pk: int, task: str, arguments: dict[str, Any], queue: str, countdown: float = 0) -> bool:
    try:
        _send(task, arguments, queue, countdown)
    except (OperationalError, OSError) as error:
        log.warning("broker-unreachable", task=task, queue=queue, reason=type(error).__name__)
        return False
    OutgoingMessage.objects.filter(pk=pk).delete()
    return True


def _send(task: str, kwargs: dict[str, Any], queue: str, countdown: float = 0) -> None:
    app.send_task(task, kwargs=kwargs, queue=queue, countdown=countdown or None, retry=False)
