"""`python -m tenants.firstrun`: the main job, end to end, as `make up` shows it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from portal.embedded import layout, plan
from portal.embedded.credentials import write_private
from portal.embedded.processes import ProcessTrouble
from tenants.firstrun import guardian_service, hosts, owner, publisher, refusals, registering
from tenants.firstrun.narration import Narration
from tenants.firstrun.people import CommandFailed, Person, portal_user
from tenants.firstrun.waiting import WaitedTooLong

CREDENTIALS = layout.VAR / "credentials.json"
FABRIC_ADMIN, TENANT = "fabric-admin", "tenant"
TROUBLE = (CommandFailed, ProcessTrouble, WaitedTooLong, refusals.NotRefused, subprocess.TimeoutExpired)


HOSTS_STEP = {
    "tpm": "Hosts: measured boot, identities, baseline and CI policy",
    "ad": "Hosts: computers of a domain, and the group that HGS trusts",
    "host-key": "Hosts: a key for each, and those that HGS trusts",
}


def bootstrap() -> dict[str, dict[str, str]]:
    """The portal's first accounts; their passwords and tokens."""
    done = subprocess.run(
        [*plan.MANAGE, "bootstrap", str(CREDENTIALS), "--tenant", TENANT, "--admin", FABRIC_ADMIN],
        env=plan.environment("portal"),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandFailed("manage.py bootstrap", done.returncode, done.stderr)
    users: dict[str, dict[str, str]] = json.loads(CREDENTIALS.read_text(encoding="utf-8"))["users"]
    return users


def person(name: str, users: dict[str, dict[str, str]]) -> Person:
    """A user of the portal with a token in a file of their own."""
    token = layout.VAR / "people" / name / "token"
    if not token.is_file() or token.read_text(encoding="utf-8").strip() != users[name]["token"]:
        write_private(token, users[name]["token"] + "\n")
    return portal_user(name, token)


def main_job(tell: Narration) -> None:
    with tell.step("Host Guardian Service"):
        guardian_service.initialise(tell)
        users = bootstrap()
        fabric_admin, tenant = person(FABRIC_ADMIN, users), person(TENANT, users)
    with tell.step(HOSTS_STEP[layout.MODE]):
        hosts.start(tell, fabric_admin)
        registering.submit(tell, fabric_admin)
    with tell.step("Attestation"):
        hosts.attest(tell, fabric_admin)
    with tell.step("Template disk"):
        publisher.publish(tell, fabric_admin)
        publisher.lend_to_fabric(tell)
    with tell.step("The tenant, offline: owner guardian and shielding data file"):
        owner.make_shielding_data(tell, tenant)
    with tell.step(f"{owner.VM}: a name, a shielding data file, a network"):
        owner.create(tell, tenant)
        owner.log_in(tell, tenant)
    with tell.step("What must fail"):
        refusals.damaged_template(tell, fabric_admin, tenant)
        refusals.unhealthy_host(tell)
        refusals.console(tell, tenant)
    summary(tell, users, tenant)


def summary(tell: Narration, users: dict[str, dict[str, Any]], tenant: Person) -> None:
    tell.plain(f"\nReady after {tell.seconds:.0f} s. Everything keeps running; `make down` stops it.\n")
    rows = [
        ("SIGN IN", "ADDRESS", "NAME", "PASSWORD"),
        ("Tenant portal", layout.PORTAL_URL, TENANT, users[TENANT]["password"]),
        ("Fabric console", f"{layout.PORTAL_URL}/fabric/", FABRIC_ADMIN, users[FABRIC_ADMIN]["password"]),
        ("HGS console", f"{layout.HGS_URL}/", guardian_service.ADMINISTRATOR, guardian_service.password()),
    ]
    for title, url, name, password in rows:
        tell.plain(f"  {title:<15} {url:<32} {name:<13} {password}")
    tell.plain(f"\n  Log in to {owner.VM}:\n    cd {tenant.folder} && {' '.join(owner.ssh_command(tenant))}")
    tell.plain(f"  The tenant's commands:\n    export GF_URL={layout.PORTAL_URL} GF_TOKEN_FILE={tenant.folder}/token")
    tell.plain(f"    {sys.executable.removesuffix('/python')}/gf vm list")
    tell.plain("  The fabric's commands (gf host list) need the token of people/fabric-admin instead;")
    tell.plain("  those of HGS (gf hgs trace) find their settings in this folder.\n")


def main() -> int:
    try:
        main_job(Narration())
    except TROUBLE as trouble:
        sys.stderr.write(f"\nThe first run stopped: {trouble}\n")
        sys.stderr.write(f"Logs are in {layout.LOGS}; run the same command again to continue.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
