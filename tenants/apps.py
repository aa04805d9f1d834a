"""Tenants as a Django application: pages, API, and the ear for what hosts report about VMs."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        from fabric.workloads import register_listener
        from portal.celery import app
        from tenants.listener import VmListener
        from tenants.schedule import BEAT_SCHEDULE
        from tenants.web import registration

        app.conf.beat_schedule = {**(app.conf.beat_schedule or {}), **BEAT_SCHEDULE}
        register_listener(VmListener())
        registration.register()
