"""Messages to hosts. They leave when the transaction commits, so that a host never hears of what was rolled back."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from celery import current_app
from django.db import transaction

from fabric.models import Assignment, Host


def tell_host(host: Host, task: str, arguments: Mapping[str, Any]) -> None:
    """Send a task without a job to the host's own queue on commit."""
    queue, kwargs = host.queue, dict(arguments)
    transaction.on_commit(lambda: _send(task, kwargs, queue))


def assign_job(job_id: UUID, host: Host, task: str, arguments: Mapping[str, Any]) -> None:
    """Give a job to a host: from now on only this host may report on it."""
    Assignment.objects.update_or_create(job_id=job_id, defaults={"host": host, "task": task})
    tell_host(host, task, {"job_id": str(job_id), **arguments})


def enqueue(task: str, arguments: Mapping[str, Any], *, countdown: float = 0) -> None:
    """Send a control-plane task to the `fabric` queue on commit."""
    kwargs = dict(arguments)
    transaction.on_commit(lambda: _send(task, kwargs, "fabric", countdown))


def _send(task: str, kwargs: dict[str, Any], queue: str, countdown: float = 0) -> None:
    current_app.send_task(task, kwargs=kwargs, queue=queue, countdown=countdown or None)
