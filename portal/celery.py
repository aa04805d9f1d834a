"""The Celery application: the control plane's worker and beat, and every host's own worker."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("guarded_fabric")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
