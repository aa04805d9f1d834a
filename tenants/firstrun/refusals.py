"""Step 7: what must fail, fails, each with its reason."""

from __future__ import annotations

import json
from pathlib import Path

from portal.embedded import layout
from tenants.firstrun import owner, publisher
from tenants.firstrun.narration import Narration
from tenants.firstrun.people import CommandFailed, Person, host_console

TRIAL = "damaged01"


class NotRefused(Exception):  # noqa: N818 - what a person reads
    """Something that must be refused was not."""


def damaged_template(tell: Narration, fabric_admin: Person, tenant: Person) -> None:
    """Provisioning from a template with one flipped bit stops, says where, and leaves nothing on any host."""
    publisher.publish_damaged(fabric_admin)
    if publisher.published(fabric_admin)[publisher.DAMAGED] == "retired":
        tell.say("A template with one flipped bit: refused at an earlier run; the template is retired.")
        return
    if owner.machine(tenant, TRIAL):  # an earlier run was interrupted here
        tenant.gf("vm", "remove", TRIAL, "--yes", "--wait")
    reason = _refused(tenant, "vm", "create", TRIAL, "--pdk", owner.FILE_NAME, "--network", owner.NETWORK,
                      "--template", publisher.DAMAGED, "--wait")  # fmt: skip
    identifier = (owner.machine(tenant, TRIAL) or {}).get("id", "")
    tell.say("A template with one flipped bit: " + reason)
    left = [str(path) for path in _left_behind(identifier)]
    if left:
        raise NotRefused(f"The refused machine left something behind: {', '.join(left)}")
    tell.say("  nothing of it is left on any host.")
    tenant.gf("vm", "remove", TRIAL, "--yes", "--wait")
    fabric_admin.gf("template", "retire", publisher.DAMAGED)


def _left_behind(identifier: str) -> list[Path]:
    if not identifier:
        raise NotRefused("The refused machine is not in the portal.")
    return [path for name in layout.HOSTS for path in layout.host_dir(name).rglob(f"*{identifier}*")]


def unhealthy_host(tell: Narration) -> None:
    """The tampered host asks HGS for a key and gets none."""
    name = layout.TAMPERED_HOSTS[0]
    at_host = host_console(name)
    try:
        answer = at_host.gf("host", "diagnose", name, "--output", "json")
    except CommandFailed as failed:
        answer = failed.output[failed.output.index("{") :]
    trial = next(check for check in json.loads(answer)["checks"] if check["code"] == "key-release")
    if trial["outcome"] == "passed":
        raise NotRefused(f"{name} is not healthy and got a key.")
    tell.say(f"{name} asks for a key: " + trial["sentence"])


def console(tell: Narration, tenant: Person) -> None:
    """The running VM offers no console."""
    tell.say("A console: " + _refused(tenant, "vm", "console", owner.VM))


def _refused(tenant: Person, *arguments: str) -> str:
    """The reason of a command that must be refused."""
    try:
        tenant.gf(*arguments)
    except CommandFailed as failed:
        reasons = [line for line in failed.output.splitlines() if line.startswith("error: ")]
        return reasons[-1].removeprefix("error: ") if reasons else failed.output.strip()
    raise NotRefused("gf " + " ".join(arguments) + " must be refused, and was not.")
