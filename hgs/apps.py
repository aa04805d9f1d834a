"""The Host Guardian Service as a Django application."""

from django.apps import AppConfig


class HgsConfig(AppConfig):
    """HGS runs alone in a process and database of its own (role ``hgs``)."""

    name = "hgs"
    verbose_name = "Host Guardian Service"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the start-up checks."""
        from hgs import checks  # noqa: F401
