"""Where settings come from: the environment, then `.env` beside the project, then the embedded deployment's own file.

A secret may be given as `NAME`, or as `NAME_FILE`, the path of a file that holds it.
"""

from enum import StrEnum
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parents[2]

env = environ.Env()
if (BASE_DIR / ".env").is_file():
    env.read_env(str(BASE_DIR / ".env"), overwrite=False)


class GfRole(StrEnum):
    PORTAL = "portal"
    HGS = "hgs"
    HOST = "host"
    ALL = "all"  # tests only: every application in one process


def secret(name: str, default: str = "") -> str:
    """The secret `name`, or the content of the file that `name_FILE` names; an unreadable file is a hard error."""
    path = env.str(f"{name}_FILE", default="")
    if not path:
        value: str = env.str(name, default=default)
        return value
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE names {path}, which cannot be read: {error.strerror}") from error


try:
    ROLE = GfRole(env.str("GF_ROLE", default=GfRole.PORTAL.value))
except ValueError as error:
    raise ImproperlyConfigured(f"GF_ROLE must be one of {', '.join(GfRole)}") from error

DEBUG: bool = env.bool("DEBUG", default=False)
VAR_DIR: Path = Path(env.str("GF_VAR_DIR", default=str(BASE_DIR / "var"))).resolve()
# Written by `make up`, one file a role, so that commands run by hand see the same fabric.
_embedded = VAR_DIR / "env" / f"{ROLE.value}.env"
if _embedded.is_file():
    env.read_env(str(_embedded), overwrite=False)
