"""One database per process: the portal's, or HGS's own; an emulated host has none."""

from pathlib import Path
from typing import Any

from portal.settings.environment import ROLE, VAR_DIR, GfRole, env


def _database(name: str, embedded: Path) -> dict[str, Any]:
    config: dict[str, Any] = env.db_url(name, default=f"sqlite:///{embedded}")
    if "sqlite3" in config["ENGINE"]:
        # Write-ahead logging lets pages read while a worker writes; IMMEDIATE avoids lock upgrades that fail at once.
        config["OPTIONS"] = {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        }
        config["TEST"] = {"NAME": None}
    else:
        config["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", default=60)
        config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES: dict[str, dict[str, Any]] = {}
if ROLE in (GfRole.PORTAL, GfRole.ALL):
    DATABASES = {"default": _database("DATABASE_URL", VAR_DIR / "portal" / "portal.sqlite3")}
elif ROLE is GfRole.HGS:
    DATABASES = {"default": _database("HGS_DATABASE_URL", VAR_DIR / "hgs" / "hgs.sqlite3")}
