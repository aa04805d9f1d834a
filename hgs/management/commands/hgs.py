"""``manage.py hgs``: serve the Host Guardian Service."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from hgs.serving import MOST_WORKERS, default_threads, default_workers
from portal.kernel.errors import Unavailable

MAX_REQUEST_LINE = 4094
# Kerberos tickets carry every group of an account: up to 64 KiB, in base64. Few headers, so that memory is bounded.
MAX_HEADER = 90 * 1024
MAX_HEADERS = 40


class Command(BaseCommand):
    """Migrates HGS's own database and becomes a gunicorn server that serves HGS alone."""

    help = "Serve the Host Guardian Service (attestation, key protection, its own console)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Addresses, processes, and whether to migrate first."""
        parser.add_argument("--bind", default="127.0.0.1:8081", help="address and port (default 127.0.0.1:8081)")
        parser.add_argument(
            "--workers",
            type=int,
            default=default_workers(),
            help=f"processes (default: one for each core, at most {MOST_WORKERS})",
        )
        parser.add_argument("--threads", type=int, help="threads of each process (default: four in all, two at least)")
        parser.add_argument("--no-migrate", action="store_true", help="leave the database's schema as it is")

    def handle(self, *args: Any, **options: Any) -> None:
        """Replace this process by gunicorn, so that signals reach it directly."""
        if settings.ROLE != "hgs":
            raise CommandError("This process is not HGS. Start it with GF_ROLE=hgs, or as: manage.py hgs")
        if not options["no_migrate"]:
            call_command("migrate", interactive=False, verbosity=0)
        self._keep_signer_up()
        self.stdout.write(f"HGS serves on http://{options['bind']}")
        self.stdout.flush()
        arguments = [
            sys.executable,
            "-m",
            "gunicorn",
            "portal.wsgi:application",
            "--config",
            "python:hgs.serving",
            "--bind",
            options["bind"],
            "--workers",
            str(options["workers"]),
            "--threads",
            str(options["threads"] or default_threads(options["workers"])),
            "--worker-class",
            "hgs.serving.EvenWorker",
            "--preload",  # what every process needs is loaded once, and shared
            "--worker-tmp-dir",
            _memory_folder(),
            "--limit-request-line",
            str(MAX_REQUEST_LINE),
            "--limit-request-field_size",
            str(MAX_HEADER),
            "--limit-request-fields",
            str(MAX_HEADERS),
            "--graceful-timeout",
            "10",
            "--pythonpath",
            str(settings.BASE_DIR),
            "--no-control-socket",
        ]
        os.execv(sys.executable, arguments)  # noqa: S606 - no shell, a fixed program

    def _keep_signer_up(self) -> None:
        """Renew the attestation signer before it ends. What prevents that does not keep HGS from starting."""
        from hgs.commands.key_log import ensure_log
        from hgs.commands.signers import keep_up
        from hgs.models import ServiceConfiguration

        try:
            if ServiceConfiguration.objects.exists():
                ensure_log()
                keep_up(timezone.now())
        except (DatabaseError, Unavailable) as error:
            self.stderr.write(f"The attestation signer was not looked after: {error}")


def _memory_folder() -> str:
    """Where gunicorn keeps its heartbeat files: memory, where there is some, so that a slow disk kills no worker."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else "/tmp"  # noqa: S108, PTH112
