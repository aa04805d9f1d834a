"""One database per process: the portal's, or HGS's own; an emulated host has none."""

from pathlib import Path
from typing import Any

from portal.settings.environment import ROLE, VAR_DIR, GfRole, env


def _database(name: str, embedded: Path, *, synchronous: str) -> dict[str, Any]:
    config: dict[str, Any] = env.db_url(name, default=f"sqlite:///{embedded}")
    # A new connection costs more than a request's queries: SQLite reads the schema and, as its last connection closes,
    # writes its log back.
    config["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", default=60)
    if "sqlite3" in config["ENGINE"]:
        # Write-ahead logging lets pages read while a worker writes; IMMEDIATE avoids lock upgrades that fail at once.
        config["OPTIONS"] = {
            "init_command": f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        }
        config["TEST"] = {"NAME": None}
    else:
        config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES: dict[str, dict[str, Any]] = {}
if ROLE in (GfRole.PORTAL, GfRole.ALL):
    # NORMAL: a power cut may take back the last changes, never half of one. The portal can order them again.
    DATABASES = {"default": _database("DATABASE_URL", VAR_DIR / "portal" / "portal.sqlite3", synchronous="NORMAL")}
elif ROLE is GfRole.HGS:
    # FULL: a key that was released is in the log, and a host that was removed stays removed, whatever happens next.
    # Attestations alone ask for less (portal.kernel.durability).
    DATABASES = {"default": _database("HGS_DATABASE_URL", VAR_DIR / "hgs" / "hgs.sqlite3", synchronous="FULL")}
