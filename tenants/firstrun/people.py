"""The people of the story, each on a machine of their own: a folder, an environment, and the `gf` command.

HGS's administrator works on the HGS node, a host's commands run on that host, the fabric administrator and the tenant
have nothing but the portal's address and a token. No folder is shared; what passes between them are files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.embedded import layout

PEOPLE = layout.VAR / "people"
GF = str(Path(sys.executable).with_name("gf"))


class CommandFailed(Exception):  # noqa: N818 - what a person reads
    """A command ended with an error; the text shows the command and what it said."""

    def __init__(self, command: str, status: int, output: str) -> None:
        super().__init__(f"`{command}` ended with status {status}:\n{output.strip()}")
        self.status = status
        self.output = output


@dataclass(frozen=True)
class Person:
    name: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        folder = PEOPLE / self.name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def full_environment(self) -> dict[str, str]:
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "HYPERVISOR") if name in os.environ
        }
        return {**kept, "XDG_CONFIG_HOME": str(self.folder / "config"), "COLUMNS": "120", **self.environment}

    def run(self, *command: str, timeout: float = 600) -> str:
        """Runs a command; its standard output, or CommandFailed."""
        done = subprocess.run(
            list(command),
            env=self.full_environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            shown = " ".join([Path(command[0]).name, *command[1:]])
            raise CommandFailed(shown, done.returncode, done.stderr + done.stdout)
        return done.stdout

    def gf(self, *arguments: str) -> str:
        return self.run(GF, *arguments)

    def gf_json(self, *arguments: str) -> Any:
        return json.loads(self.gf(*arguments, "--output", "json"))


def hgs_administrator() -> Person:
    return Person("hgs-administrator", _role_environment("hgs"))


def host_console(name: str) -> Person:
    """Whoever sits at the host `name`."""
    token = layout.host_dir(name) / "token"
    return Person(f"host-{name}", {**_role_environment("host"), "HOST_TOKEN_FILE": str(token)})


def portal_user(name: str, token_file: Path) -> Person:
    return Person(name, {"GF_URL": layout.PORTAL_URL, "GF_TOKEN_FILE": str(token_file)})


def _role_environment(role: str) -> dict[str, str]:
    passed = ("HGS_DATABASE_URL",) if role == "hgs" else ("REDIS_URL",) if role == "host" else ()
    inherited = {name: os.environ[name] for name in passed if name in os.environ}
    return {**inherited, "GF_ROLE": role, "GF_VAR_DIR": str(layout.VAR)}
