"""The application of the host role: it brings `manage.py host` and the tasks of a host's queue, and no models."""

from django.apps import AppConfig


class HyperVConfig(AppConfig):
    name = "fabric.hyperv"
    label = "hyperv"
    verbose_name = "Emulated Hyper-V host"
