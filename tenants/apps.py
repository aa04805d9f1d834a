"""Tenants as a Django application: pages, API, and the ear for what hosts report about VMs."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        from fabric.workloads import register_listener, register_trust
        from portal.celery import app
        from tenants.listener import VmListener
        from tenants.matching import files_by_subscription
        from tenants.schedule import BEAT_SCHEDULE
        from tenants.web import registration

        app.conf.beat_schedule = {**(app.conf.beat_schedule or {}), **BEAT_SCHEDULE}
        register_listener(VmListener())
        register_trust(files_by_subscription)
        registration.register()
