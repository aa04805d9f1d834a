"""The Celery application: the control plane's worker and beat, and every host's own worker."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from portal.kernel.readiness import tell_ready

app = Celery("guarded_fabric")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
@beat_init.connect
def tell_that_it_is_ready(**_: Any) -> None:
    """Writes the file that GF_READY_FILE names, for whoever started this process and waits."""
    tell_ready()
