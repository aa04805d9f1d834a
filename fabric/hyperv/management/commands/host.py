"""`manage.py host NAME`: be one emulated Hyper-V host."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from fabric.hyperv.agent import Agent, keep_profile
from fabric.hyperv.config import host_config
from fabric.hyperv.errors import HostError
from portal.celery import app


class Command(BaseCommand):
    help = "Be the emulated Hyper-V host NAME: boot, attest, and run virtual machines until told to end."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the host's name: lower-case letters, digits, hyphens")
        parser.add_argument(
            "--profile",
            default=settings.HOST_PROFILE,
            help="what the host boots: healthy, tampered, or a profile file (default: what it booted last)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            config = host_config(options["name"])
            keep_profile(config, options["profile"])
            Agent(config, app, settings.HOST_STOP_VMS, settings.LOG_LEVEL).run()
        except HostError as error:
            raise CommandError(f"{error.message} {error.advice}".strip()) from error
