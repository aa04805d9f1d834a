"""`manage.py beat`: the one clock of the control plane."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from portal.celery import app


class Command(BaseCommand):
    help = "Run Celery beat: re-attestation, lost jobs, expiry. Run exactly one."

    def handle(self, *args: Any, **options: Any) -> None:
        schedule = settings.VAR_DIR / "run" / "beat-schedule"
        schedule.parent.mkdir(parents=True, exist_ok=True)
        app.Beat(schedule=str(schedule), loglevel="INFO", quiet=True).run()
