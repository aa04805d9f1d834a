"""The processes of an embedded fabric, in the order they start."""

from __future__ import annotations

import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from portal.embedded import layout
from portal.embedded.domain import Accounts, Domain
from portal.embedded.processes import Process

# What one role must not inherit from the person who typed `make up`.
_PORTALS = ("DATABASE_URL", "TOKEN_PEPPERS", "TOKEN_PEPPERS_FILE")
_MASTER_KEYS = ("HGS_MASTER_KEY", "HGS_MASTER_KEY_FILE", "HGS_MASTER_KEY_OLD", "HGS_MASTER_KEY_OLD_FILE")
_HGSS = ("HGS_DATABASE_URL", *_MASTER_KEYS, "HGS_KEYTAB")
_SERVERS = ("SECRET_KEY", "SECRET_KEY_FILE", "HGS_FABRIC_TOKEN", "HGS_FABRIC_TOKEN_FILE")
_HOSTS = ("HOST_TOKEN", "HOST_TOKEN_FILE", "HOST_KEYTAB")
FOREIGN = {
    "portal": (*_HGSS, *_HOSTS),
    "hgs": (*_PORTALS, *_HOSTS, "REDIS_URL"),
    "host": (*_PORTALS, *_HGSS, *_SERVERS),
}
HOST_GROUP = "GuardedHosts"
MANAGE = (sys.executable, str(layout.ROOT / "manage.py"))


def environment(role: str, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN.get(role, ())}
    return {
        **inherited,
        "GF_ROLE": role,
        "GF_VAR_DIR": str(layout.VAR),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        # Celery refuses to run as root unless told so; messages are JSON, so that nothing in them is executed.
        "C_FORCE_ROOT": "1",
        **more,
    }


def answers_http(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own fixed addresses
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _ready_file(name: str) -> Callable[[], bool]:
    return (layout.RUN / f"{name}.ready").exists


def broker() -> Process:
    folder = layout.VAR / "valkey"
    path = folder / "valkey.sock"
    return Process(
        name="valkey",
        command=(sys.executable, "-m", "portal.embedded.broker", str(folder)),
        environment={"PATH": os.environ.get("PATH", "")},
        is_ready=lambda: _accepts(path),
    )


def domain() -> Domain:
    """The domain of MODE=ad; the port after its own is for changes of passwords, which nobody asks for."""
    return Domain(layout.DOMAIN, layout.DOMAIN_ADDRESS, layout.DOMAIN_PORT, layout.DOMAIN_PORT + 1)


def domain_accounts() -> Accounts:
    """The hosts' computer accounts, all but the refused ones in the group, and HGS's, with their keytabs."""
    hosts = {name: f"{name}$" for name in layout.HOSTS}
    members = [account for name, account in hosts.items() if name not in layout.TAMPERED_HOSTS]
    service = f"HTTP/{urlsplit(layout.HGS_URL).hostname}"
    keytabs = {layout.host_dir(name) / "host.keytab": [account] for name, account in hosts.items()}
    return Accounts(
        computers={**{name: [] for name in hosts}, "hgs": [service]},
        groups={HOST_GROUP: members},
        keytabs={**keytabs, layout.HGS_KEYTAB: [service]},
    )


def domain_controller() -> Process:
    made = domain()
    return Process("domain", made.command, made.environment(), made.answers)


def hgs() -> Process:
    return Process(
        name="hgs",
        command=(*MANAGE, "hgs", "--bind", f"127.0.0.1:{layout.HGS_PORT}"),
        environment=environment("hgs"),
        is_ready=lambda: _ready_file("hgs")() and answers_http(f"{layout.HGS_URL}/livez"),
    )


def portal() -> Process:
    return Process(
        name="portal",
        command=(*MANAGE, "portal", "--bind", f"127.0.0.1:{layout.PORTAL_PORT}"),
        environment=environment("portal"),
        is_ready=lambda: _ready_file("portal")() and answers_http(f"{layout.PORTAL_URL}/livez"),
    )


def worker() -> Process:
    return Process("worker", (*MANAGE, "worker"), environment("portal"), _ready_file("worker"))


def beat() -> Process:
    return Process("beat", (*MANAGE, "beat"), environment("portal"), _ready_file("beat"))


def host(name: str) -> Process:
    token = layout.host_dir(name) / "token"
    profile = "tampered" if name in layout.TAMPERED_HOSTS else "healthy"
    return Process(
        name=f"host-{name}",
        command=(*MANAGE, "host", name),
        environment=environment("host", HOST_TOKEN_FILE=str(token), HOST_PROFILE=profile, HOST_STOP_VMS="true"),
        is_ready=_ready_file(f"host-{name}"),
        stop_seconds=40,
    )


def brokers() -> list[Process]:
    """The embedded broker, unless REDIS_URL names one of your own."""
    return [] if os.environ.get("REDIS_URL") else [broker()]


def domains() -> list[Process]:
    """The domain controller that hosts and HGS trust in MODE=ad."""
    return [domain_controller()] if layout.MODE == "ad" else []


def services() -> list[Process]:
    return [hgs(), portal(), worker(), beat()]


def hosts() -> list[Process]:
    return [host(name) for name in layout.HOSTS]


def everything() -> list[Process]:
    """In the order in which they start; they stop the other way round."""
    return [*brokers(), *domains(), *services(), *hosts()]
