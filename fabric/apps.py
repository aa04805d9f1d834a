"""The fabric as a Django application: its pages, its API and its place in the shell are registered here."""

from django.apps import AppConfig


class FabricConfig(AppConfig):
    name = "fabric"
    verbose_name = "Fabric"

    def ready(self) -> None:
        from fabric.web import registration

        registration.register()
