"""Steps 5 and 6: the tenant's side. Keys and shielding data are made offline; the portal sees ciphertext."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

from portal.embedded.credentials import write_private
from tenants.firstrun import guardian_service, publisher
from tenants.firstrun.narration import Narration
from tenants.firstrun.people import GF, CommandFailed, Person, hgs_administrator
from tenants.firstrun.waiting import wait_for

VM = "web01"
NETWORK = "lab"
FILE_NAME = "web"


def shielding_data_file(tenant: Person) -> Path:
    return tenant.folder / f"{FILE_NAME}.pdk"


def make_shielding_data(tell: Narration, tenant: Person) -> None:
    """An owner guardian, HGS's guardian imported by its fingerprint, and the shielding data file."""
    folder = tenant.folder
    passphrase, password = folder / "owner.passphrase", folder / "administrator.password"
    for path in (passphrase, password):
        if not path.is_file():
            write_private(path, secrets.token_urlsafe(18) + "\n")
    owner = folder / "owner.guardian"
    if not owner.is_file():
        tenant.gf("guardian", "new", "Tenant", "--out", str(owner), "--passphrase-file", str(passphrase))
    _import_guardian(tenant)
    _ssh_key(tenant)
    if shielding_data_file(tenant).is_file():
        return
    catalog = folder / "small-linux.vsc"
    shutil.copyfile(publisher.catalog(), catalog)  # the publisher gives it to whom it likes
    tenant.gf(
        "pdk", "new",
        "--owner", str(owner), "--passphrase-file", str(passphrase),
        "--guardian", "hgs", "--catalog", str(catalog), "--rule", "greater-than-or-equals",
        "--admin-password-file", str(password),
        "--authorized-key", str(folder / "id_ed25519.pub"),
        "--known-hosts", str(folder / "known_hosts"),
        "--out", str(shielding_data_file(tenant)), "--force",
    )  # fmt: skip
    tell.say("Policy Shielded; trusts that template's name and signer, from this version on. Inside, encrypted on the")
    tell.say("tenant's machine: administrator password, SSH host key, authorised key, answer file.")


def _import_guardian(tenant: Person) -> None:
    """The tenant compares the fingerprint that HGS's administrator gave, as it would over the telephone."""
    metadata = tenant.folder / guardian_service.METADATA
    told = hgs_administrator().gf_json("hgs", "show")["communications_fingerprint"]
    shutil.copyfile(hgs_administrator().folder / guardian_service.METADATA, metadata)
    if not any(row["name"] == "hgs" for row in tenant.gf_json("guardian", "list")):
        tenant.gf("guardian", "import", str(metadata), "--name", "hgs", "--fingerprint", told)


def _ssh_key(tenant: Person) -> None:
    if not (tenant.folder / "id_ed25519.pub").is_file():
        tenant.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tenant", "-f", "id_ed25519")


def create(tell: Narration, tenant: Person) -> None:
    """Uploads the file, creates the VM from a name, the file and a network, and follows the job to its heartbeat."""
    if not any(row["name"] == FILE_NAME for row in tenant.gf_json("shielding-data", "list")):
        tenant.gf("shielding-data", "upload", str(shielding_data_file(tenant)), "--name", FILE_NAME)
    wait_for(lambda: _settled(tenant), 900, f"{VM} is still being worked on")
    state = (machine(tenant) or {}).get("state", "")
    if not state:
        follow(tell, tenant, "vm", "create", VM, "--pdk", FILE_NAME, "--network", NETWORK, "--wait")
    elif state == "failed":
        follow(tell, tenant, "vm", "retry", VM, "--wait")
    elif state == "stopped":
        follow(tell, tenant, "vm", "start", VM, "--wait")


def _settled(tenant: Person) -> bool:
    """Whether no job of an earlier run still works on the machine."""
    state = (machine(tenant) or {}).get("state", "")
    return state in ("", "running", "stopped", "failed")


def machine(tenant: Person, name: str = VM) -> dict[str, Any] | None:
    return next((row for row in tenant.gf_json("vm", "list") if row["name"] == name), None)


def log_in(tell: Narration, tenant: Person) -> None:
    """SSH to the address that the portal shows; the host key must be the one from the shielding data file."""
    if os.environ.get("HYPERVISOR") == "dry":
        tell.say("No guest runs: HYPERVISOR=dry does every step but its boot.")
        return
    said = tenant.run(*ssh_command(tenant), "hostname")
    tell.say(f"ssh: logged in as root on “{said.strip()}”; the host key is the one from the shielding data file.")


def ssh_command(tenant: Person) -> list[str]:
    found = machine(tenant)
    if found is None:
        raise CommandFailed("gf vm list", 1, f"{VM} is not there.")
    words: list[str] = found["ssh"].split()
    options = ["-i", "id_ed25519", "-o", "UserKnownHostsFile=known_hosts", "-o", f"HostKeyAlias={FILE_NAME}"]
    strict = ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-F", "none"]
    return [words[0], *options, *strict, *words[1:]]


def follow(tell: Narration, tenant: Person, *arguments: str) -> None:
    """Runs a `gf` command and repeats what it says while it says it."""
    child = subprocess.Popen(
        [GF, *arguments],
        env=tenant.full_environment(),
        cwd=tenant.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    for line in child.stderr or ():
        said.append(line)
        tell.happened(line.rstrip())
    if child.wait():
        raise CommandFailed("gf " + " ".join(arguments), child.returncode, "".join(said))
