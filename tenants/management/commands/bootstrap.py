"""`manage.py bootstrap FILE`: the first accounts of a fabric, with their passwords and tokens in FILE (mode 0600)."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.kernel.errors import DomainError
from tenants.seed import seed


class Command(BaseCommand):
    help = "Make a plan, a tenant with a subscription, a fabric administrator, their tokens and a network, if missing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="Where generated passwords and tokens are kept.")
        parser.add_argument("--tenant", default="tenant", help="Sign-in name of the tenant.")
        parser.add_argument("--admin", default="fabric-admin", help="Sign-in name of the fabric administrator.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = seed(options["file"], options["tenant"], options["admin"])
        except DomainError as error:
            raise CommandError(f"{error.message} {error.advice}".strip()) from error
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        for sentence in made or ["Everything is there already."]:
            self.stdout.write(sentence)
