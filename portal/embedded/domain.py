"""A domain controller of one's own: Samba as a named process on a loopback address, with its Kerberos service alone.

It exists for `make up MODE=ad` and for the tests of Active Directory mode. Nothing but Kerberos is asked of a domain
here, so nothing else is served: no file shares, no LDAP, no RPC, no name service, and two ports that can be chosen.
It needs no privileges: the domain is made without the file permissions of shares, which only root may set.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REALM = "GUARDED.TEST"
NETBIOS_NAME = "GUARDED"
SYSTEM_PYTHON = "/usr/bin/python3"
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_SETUP = Path(__file__).with_name("samba_accounts.py")
_PACKAGES = "Install the Debian packages under [ad] in portal/embedded/debian-packages.txt."
_SMB_CONF = """\
# Written by the embedded deployment; anew at every start.
[global]
  netbios name = DC1
  realm = {realm}
  workgroup = {domain}
  server role = active directory domain controller
  server services = kdc
  interfaces = {address}/8
  bind interfaces only = yes
  krb5 port = {port}
  kpasswd port = {password_port}
  private dir = {folder}/private
  state directory = {folder}/state
  cache directory = {folder}/cache
  lock directory = {folder}/lock
  pid directory = {folder}/run
  binddns dir = {folder}/bind-dns
  ncalrpc dir = {folder}/ncalrpc
  logging = file
  log file = {folder}/log.%m
  load printers = no
  tls enabled = no
[sysvol]
  path = {folder}/state/sysvol
[netlogon]
  path = {folder}/state/sysvol/{dns}/scripts
"""
_KRB5_CONF = """\
# Written by the embedded deployment; anew at every start.
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  rdns = false
  dns_canonicalize_hostname = false
  udp_preference_limit = 0
{more}
[realms]
  {realm} = {{
    kdc = {address}:{port}
    kpasswd_server = {address}:{password_port}
  }}
"""


class DomainTrouble(Exception):  # noqa: N818 - what a person reads
    """The domain cannot be made; the text says why and what to do."""


@dataclass(frozen=True)
class Accounts:
    """What the domain shall hold. `keytabs`: files to write, each with the accounts or service principals in it."""

    computers: Mapping[str, Sequence[str]]
    groups: Mapping[str, Sequence[str]]
    keytabs: Mapping[Path, Sequence[str]]
    users: Sequence[str] = ()


@dataclass(frozen=True)
class Domain:
    """One domain: the folder of its controller (absolute), and where its Kerberos service answers, UDP and TCP.

    `kerberos_options` are lines for the section libdefaults of the clients' configuration.
    """

    folder: Path
    address: str
    port: int
    password_port: int
    kerberos_options: Sequence[str] = field(default=())

    @property
    def samba_configuration(self) -> Path:
        return self.folder / "smb.conf"

    @property
    def kerberos_configuration(self) -> Path:
        """What KRB5_CONFIG names in every process that speaks to this domain."""
        return self.folder / "krb5.conf"

    @property
    def command(self) -> tuple[str, ...]:
        """The domain controller in the foreground, as one process."""
        return (
            "samba",
            "-F",
            "-M",
            "single",
            "-s",
            str(self.samba_configuration),
            "--debug-stdout",
            "--no-process-group",
        )

    def environment(self) -> dict[str, str]:
        """What its processes get. Debian keeps `samba` where only root's PATH looks."""
        return {"PATH": _PATH, "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}

    def answers(self) -> bool:
        try:
            socket.create_connection((self.address, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def make(self, accounts: Accounts) -> dict[str, str]:
        """Make the domain if there is none, and the accounts; returns the security identifier of each group.

        Takes about 7 s the first time, 1 s after that. Raises DomainTrouble.
        """
        missing = [tool for tool in ("samba", SYSTEM_PYTHON) if shutil.which(tool, path=_PATH) is None]
        if missing:
            raise DomainTrouble(f"Not installed: {', '.join(missing)}. {_PACKAGES}")
        for name in ("", "private", "state", "cache", "lock", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self.configure()
        order = {
            "configuration": str(self.samba_configuration),
            "folder": str(self.folder),
            "realm": REALM,
            "domain": NETBIOS_NAME,
            "computers": {name: list(services) for name, services in accounts.computers.items()},
            "users": list(accounts.users),
            "groups": {name: list(members) for name, members in accounts.groups.items()},
            "keytabs": {str(path): list(principals) for path, principals in accounts.keytabs.items()},
        }
        done = subprocess.run(
            [SYSTEM_PYTHON, "-B", str(_SETUP)],
            input=json.dumps(order),
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DomainTrouble(_reason(done.stderr))
        groups: dict[str, str] = json.loads(done.stdout)["groups"]
        return groups

    def configure(self) -> None:
        """Write the configuration of the controller and that of its clients."""
        known = {
            "realm": REALM,
            "dns": REALM.lower(),
            "domain": NETBIOS_NAME,
            "address": self.address,
            "port": self.port,
            "password_port": self.password_port,
            "folder": self.folder,
            "more": "".join(f"  {line}\n" for line in self.kerberos_options),
        }
        self.samba_configuration.write_text(_SMB_CONF.format_map(known), encoding="utf-8")
        self.kerberos_configuration.write_text(_KRB5_CONF.format_map(known), encoding="utf-8")


def _reason(complaint: str) -> str:
    end = "\n".join(complaint.strip().splitlines()[-4:])
    if "No module named 'samba" in complaint:
        return f"{SYSTEM_PYTHON} has no Samba modules. {_PACKAGES}\n{end}"
    return f"The domain could not be made:\n{end}"
