"""Where the embedded deployment keeps its files, and which port each part answers on."""

from __future__ import annotations

import os
from pathlib import Path

from portal.embedded.preflight import mode_of, port_of

ROOT = Path(__file__).resolve().parents[2]
VAR = Path(os.environ.get("GF_VAR_DIR", ROOT / "var")).resolve()
RUN = VAR / "run"
LOGS = VAR / "log"
ENVIRONMENTS = VAR / "env"
PORTAL_PORT = port_of("PORTAL_PORT", ENVIRONMENTS / "host.env")
HGS_PORT = port_of("HGS_PORT", ENVIRONMENTS / "host.env")
PORTAL_URL = f"http://127.0.0.1:{PORTAL_PORT}"
HGS_URL = f"http://127.0.0.1:{HGS_PORT}"
MODE = mode_of(VAR)
"""How hosts attest: `tpm`, `ad` or `host-key`."""
DOMAIN = VAR / "domain"
HGS_KEYTAB = VAR / "hgs" / "hgs.keytab"
DOMAIN_ADDRESS = "127.0.0.1"
DOMAIN_PORT = port_of("DOMAIN_PORT", ENVIRONMENTS / "host.env")
HOSTS = ("hv01", "hv02", "hv03")
TAMPERED_HOSTS = ("hv03",)
"""Hosts that boot what no baseline allows. HGS refuses them in every mode, in each for another reason."""


def keep_mode() -> None:
    """Remember the mode of this fabric for every start that follows."""
    VAR.mkdir(parents=True, exist_ok=True)
    (VAR / "mode").write_text(MODE + "\n", encoding="ascii")


def host_dir(name: str) -> Path:
    return VAR / "hosts" / name
