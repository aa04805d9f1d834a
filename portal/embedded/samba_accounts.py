#!/usr/bin/python3
"""Makes a domain and the accounts in it: once, offline, in the domain controller's own database.

Runs with the system's Python, which has Samba's modules, as the account that owns the folder; needs no privileges and
no running server. Standard input is a JSON object, standard output another:

    {"configuration": "…/smb.conf", "folder": "…", "realm": "GUARDED.TEST", "domain": "GUARDED",
     "computers": {"hv01": ["HTTP/…", …]}, "users": ["ann"], "groups": {"GuardedHosts": ["hv01$"]},
     "keytabs": {"…/hv01.keytab": ["hv01$"]}}

    {"domain_sid": "S-1-5-21-…", "groups": {"GuardedHosts": "S-1-5-21-…-1104"}}

What exists already is left as it is, members and service principals are added; keytabs are written anew.
"""

import json
import logging
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from samba import dckeytab, ldb  # noqa: F401 - dckeytab gives Net its export_keytab
from samba.auth import system_session
from samba.dcerpc import security
from samba.dsdb import DS_DOMAIN_FUNCTION_2008_R2
from samba.ndr import ndr_unpack
from samba.net import Net
from samba.param import LoadParm
from samba.provision import provision
from samba.samdb import SamDB

AES_ONLY = "24"  # msDS-SupportedEncryptionTypes: AES-128 and AES-256


def main() -> None:
    os.umask(0o077)
    order = json.load(sys.stdin)
    parameters = LoadParm()
    parameters.load(order["configuration"])
    database = Path(order["folder"]) / "private" / "sam.ldb"
    if not database.exists():
        _provision(order, parameters)
    accounts = SamDB(url=str(database), lp=parameters, session_info=system_session())
    for name, services in order["computers"].items():
        _computer(accounts, name, services)
    for name in order["users"]:
        if not _find(accounts, name):
            accounts.newuser(name, secrets.token_urlsafe(32))
    for name, members in order["groups"].items():
        if not _find(accounts, name):
            accounts.newgroup(name)
        present = {str(item) for item in _find(accounts, name).get("member", [])}
        absent = [member for member in members if str(_find(accounts, member).dn) not in present]
        if absent:
            accounts.add_remove_group_members(name, absent, add_members_operation=True)
    for path, principals in order["keytabs"].items():
        _keytab(parameters, path, principals)
    sids = {name: _sid(accounts, name) for name in order["groups"]}
    json.dump({"domain_sid": str(accounts.get_domain_sid()), "groups": sids}, sys.stdout)


def _provision(order: "dict[str, Any]", parameters: Any) -> None:
    """A new domain. Its file share is never served, so that its file permissions, which need root, are left out."""
    provision(
        logging.getLogger("provision"), system_session(), smbconf=order["configuration"], lp=parameters,
        realm=order["realm"], domain=order["domain"], serverrole="dc", hostname="dc1", hostip="127.0.0.1",
        dns_backend="NONE", backend_store="tdb", adminpass="Aa1!" + secrets.token_urlsafe(24), useeadb=True,
        skip_sysvolacl=True, dom_for_fun_level=DS_DOMAIN_FUNCTION_2008_R2,
    )  # fmt: skip


def _find(accounts: Any, name: str) -> Any:
    found = accounts.search(expression=f"(sAMAccountName={ldb.binary_encode(name)})", attrs=["objectSid", "member"])
    return found[0] if len(found) else None


def _sid(accounts: Any, name: str) -> str:
    return str(ndr_unpack(security.dom_sid, _find(accounts, name)["objectSid"][0]))


def _computer(accounts: Any, name: str, services: "list[str]") -> None:
    if not _find(accounts, name + "$"):
        accounts.newcomputer(name)
        # A keytab holds keys that come from a password; without one there would be nothing to export.
        accounts.setpassword(f"(sAMAccountName={ldb.binary_encode(name)}$)", secrets.token_urlsafe(48))
    change = ldb.Message(_find(accounts, name + "$").dn)
    change["types"] = ldb.MessageElement(AES_ONLY, ldb.FLAG_MOD_REPLACE, "msDS-SupportedEncryptionTypes")
    if services:
        change["services"] = ldb.MessageElement(services, ldb.FLAG_MOD_REPLACE, "servicePrincipalName")
    accounts.modify(change)


def _keytab(parameters: Any, path: str, principals: "list[str]") -> None:
    half = Path(path + ".new")
    half.unlink(missing_ok=True)
    for principal in principals:
        Net(None, parameters).export_keytab(keytab=str(half), principal=principal)
    half.replace(path)


if __name__ == "__main__":
    main()
