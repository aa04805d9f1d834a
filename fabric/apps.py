"""The fabric as a Django application: its pages, its API and its place in the shell are registered here."""

from django.apps import AppConfig


class FabricConfig(AppConfig):
    name = "fabric"
    verbose_name = "Fabric"

    def ready(self) -> None:
        from fabric.schedule import BEAT_SCHEDULE
        from fabric.web import registration
        from portal.celery import app

        # The project's Celery application knows no app; what beat sends for the fabric is said here.
        app.conf.beat_schedule = {**(app.conf.beat_schedule or {}), **BEAT_SCHEDULE}
        registration.register()
