"""Steps 2 and 3: the hosts boot, are registered in the portal, and attest."""

from __future__ import annotations

import json
from typing import Any

from portal.embedded import layout, plan, processes
from tenants.firstrun.narration import Narration
from tenants.firstrun.people import CommandFailed, Person, hgs_administrator, host_console
from tenants.firstrun.waiting import wait_for


def start(tell: Narration, fabric_admin: Person) -> None:
    """Registers the hosts in the portal and starts them; each boots its profile into its own TPM."""
    known = {row["name"] for row in fabric_admin.gf_json("host", "list")}
    for name in layout.HOSTS:
        token = layout.host_dir(name) / "token"
        layout.host_dir(name).mkdir(parents=True, exist_ok=True, mode=0o700)
        if name not in known:
            fabric_admin.gf("host", "register", name, "--token-file", str(token))
        elif not token.is_file():
            fabric_admin.gf("host", "token", name, "--token-file", str(token))
    started = processes.start(*plan.hosts())
    names = ", ".join(layout.HOSTS)
    tell.say(f"{names} {'started' if started else 'are running'}: each has a TPM 2.0 of its own and booted its profile")
    tell.say("into a TCG log and the TPM's registers. hv03 booted tampered: Secure Boot off, an unapproved CI policy.")
    if layout.MODE != "tpm":
        tell.say("HGS does not look at that in this mode; whom it trusts is settled in the next step.")


def attest(tell: Narration, fabric_admin: Person) -> None:
    """Trusted hosts hold a certificate, the other is refused for the mode's reason, and the portal shows it."""
    for name in layout.HOSTS:
        found = _status(host_console(name), "status", name)
        expected = name not in layout.TAMPERED_HOSTS
        if found.get("attested") != expected or not expected:
            found = _status(host_console(name), "attest", name)
        tell.say(_sentence(name, found))
        for failed in _failed_checks(found) if not expected else []:
            tell.say(f"  - {failed}")
    healthy = [name for name in layout.HOSTS if name not in layout.TAMPERED_HOSTS]

    def portal_knows() -> bool:
        rows = {row["name"]: row for row in fabric_admin.gf_json("host", "list")}
        return all(rows.get(name, {}).get("accepts_vms") for name in healthy)

    wait_for(portal_knows, 60, "the portal does not see the healthy hosts as attested")


def _status(at_host: Person, verb: str, name: str) -> dict[str, Any]:
    """What the host says of itself; the command ends with 1 where the host is not attested, and still answers."""
    try:
        answer: dict[str, Any] = at_host.gf_json("host", verb, name)
    except CommandFailed as failed:
        if failed.status != 1 or "{" not in failed.output:
            raise
        answer = json.loads(failed.output[failed.output.index("{") :])
    return answer


def _sentence(name: str, found: dict[str, Any]) -> str:
    if found.get("attested"):
        return f"{name}: attested; health certificate until {found['certificate_not_after']}."
    return f"{name}: refused ({found.get('status')})."


def _failed_checks(found: dict[str, Any]) -> list[str]:
    """The sentences of what did not hold, from HGS's own record of this attestation."""
    if not found.get("attestation_id"):
        return []
    verdict = hgs_administrator().gf_json("hgs", "attestations", found["attestation_id"])["verdict"]
    return [check["sentence"] for check in verdict["checks"] if check["outcome"] == "failed"]
