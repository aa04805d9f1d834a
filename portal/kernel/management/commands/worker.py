"""`manage.py worker`: the control plane's Celery worker on the queue `fabric`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from portal.celery import app


class Command(BaseCommand):
    help = "Run the control plane's worker: placement, job steps, sweeps."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--concurrency", type=int, default=2, help="processes (default 2)")

    def handle(self, *args: Any, **options: Any) -> None:
        app.worker_main(
            [
                "worker",
                "--queues=fabric",
                "--hostname=fabric@%h",
                f"--concurrency={options['concurrency']}",
                "--loglevel=INFO",
                "--without-gossip",
                "--without-mingle",
            ]
        )
