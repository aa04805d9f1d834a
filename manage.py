#!/usr/bin/env python
"""Starts every process of the fabric; the first argument chooses the role where GF_ROLE does not."""

import os
import sys

ROLES = {"hgs": "hgs", "host": "host"}


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    os.environ.setdefault("GF_ROLE", ROLES.get(command, "portal"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
