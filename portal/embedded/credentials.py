"""Keys and tokens of the embedded deployment, generated once, each readable by its owner alone.

Every role gets an environment file of its own (`var/env/<role>.env`) that names only the secrets of that role; settings
read it, so that commands run by hand see the same fabric as the processes do.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from portal.embedded import layout


def write_private(path: Path, text: str) -> None:
    """Writes `text` where only the owner can read it; nobody ever sees a half-written file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".new")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    half.replace(path)


def _once(path: Path, value: str) -> Path:
    if not path.is_file():
        write_private(path, value + "\n")
    return path


def _environment(role: str, values: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in sorted(values.items()))
    path = layout.ENVIRONMENTS / f"{role}.env"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_private(path, text)


def auto_approve() -> str:
    """Whether HGS approves by itself: what the environment says now, else what it said the last time, else yes."""
    given = os.environ.get("HGS_AUTO_APPROVE", "")
    if given:
        return given
    path = layout.ENVIRONMENTS / "hgs.env"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = [line.partition("=")[2] for line in lines if line.startswith("HGS_AUTO_APPROVE=")]
    return kept[0] if kept else "true"


def prepare() -> None:
    """Generates what is missing and leaves what exists."""
    approval = auto_approve()
    keys = layout.VAR / "keys"
    fabric_token = _once(keys / "hgs-fabric.token", secrets.token_urlsafe(32))
    shared = {"HGS_URL": layout.HGS_URL, "PORTAL_URL": layout.PORTAL_URL}
    kerberos = {}
    if layout.MODE == "ad":
        kerberos["KRB5_CONFIG"] = str(layout.DOMAIN / "krb5.conf")
        shared["DOMAIN_ADDRESS"] = f"{layout.DOMAIN_ADDRESS}:{layout.DOMAIN_PORT}"
    _environment(
        "portal",
        {
            **shared,
            "SECRET_KEY_FILE": str(_once(keys / "portal-secret.key", secrets.token_urlsafe(48))),
            "TOKEN_PEPPERS_FILE": str(_once(keys / "token-peppers.key", "1:" + secrets.token_urlsafe(32))),
            "HGS_FABRIC_TOKEN_FILE": str(fabric_token),
            "HGS_AUTO_APPROVE": approval,
        },
    )
    master_key = base64.b64encode(secrets.token_bytes(32)).decode()
    _environment(
        "hgs",
        {
            **shared,
            "SECRET_KEY_FILE": str(_once(keys / "hgs-secret.key", secrets.token_urlsafe(48))),
            "HGS_MASTER_KEY_FILE": str(_once(keys / "hgs-master.key", master_key)),
            "HGS_FABRIC_TOKEN_FILE": str(fabric_token),
            "HGS_AUTO_APPROVE": approval,
            **({"HGS_KEYTAB": str(layout.HGS_KEYTAB)} if layout.MODE == "ad" else {}),
            **kerberos,
        },
    )
    _environment("host", {**shared, **kerberos})
