"""Tenants as a Django application: pages, API, and the ear for what hosts report about VMs."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        from fabric.workloads import register_listener
        from tenants.listener import VmListener
        from tenants.web import registration

        register_listener(VmListener())
        registration.register()
