"""`manage.py portal`: the portal's web server."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Serve the tenant portal, the fabric console and the REST API."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1:8000", help="address:port (default 127.0.0.1:8000)")
        parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
        parser.add_argument("--threads", type=int, default=4, help="threads a process (default 4)")

    def handle(self, *args: Any, **options: Any) -> None:
        # Replaces this process, so that whoever started it supervises the server itself.
        os.execv(  # noqa: S606
            sys.executable,
            [
                sys.executable,
                "-m",
                "gunicorn",
                "portal.wsgi:application",
                "--config=python:portal.serving",
                f"--bind={options['bind']}",
                f"--workers={options['workers']}",
                f"--threads={options['threads']}",
                "--worker-class=gthread",
                "--timeout=120",
                "--graceful-timeout=10",
                "--no-control-socket",
            ],
        )
