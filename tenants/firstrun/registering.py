"""Step 2, the second half: what HGS has to know of the hosts, in each mode of attestation."""

from __future__ import annotations

import json

from portal.embedded import layout, plan
from tenants.firstrun import guardian_service
from tenants.firstrun.narration import Narration
from tenants.firstrun.people import Person, hgs_administrator, host_console

REFERENCE = layout.HOSTS[0]
TRUSTED_HOSTS = tuple(name for name in layout.HOSTS if name not in layout.TAMPERED_HOSTS)


def submit(tell: Narration, fabric_admin: Person) -> None:
    """What the mode of HGS asks for goes there and is approved; nothing that was approved before is sent again."""
    {"tpm": _by_tpm, "ad": _by_domain, "host-key": _by_host_key}[layout.MODE](tell, fabric_admin)


def _by_tpm(tell: Narration, fabric_admin: Person) -> None:
    """Every host's identity, and one baseline and one CI policy from the reference host."""
    guardian_service.trust_tpm_maker(tell)
    admin = hgs_administrator()
    known = {row["name"] for row in admin.gf_json("hgs", "hosts", "list")}
    for name in layout.HOSTS:
        if name not in known:
            _from_host(fabric_admin, name, "identity", "xml")
    if not admin.gf_json("hgs", "baselines", "list"):
        _from_host(fabric_admin, REFERENCE, "baseline", "tcglog", "emulated-host-2016")
    if not admin.gf_json("hgs", "ci-policies", "list"):
        _from_host(fabric_admin, REFERENCE, "ci-policy", "p7b", "allow-hypervisor")
    _approve(admin)
    tell.say(f"Submitted and approved: the identities of {', '.join(layout.HOSTS)}; one baseline and one CI policy")
    tell.say(f"taken from {REFERENCE}.")


def _by_domain(tell: Narration, fabric_admin: Person) -> None:
    """The domain group of guarded hosts; who is in it is the domain's business."""
    admin = hgs_administrator()
    sid = json.loads((layout.DOMAIN / "groups.json").read_text(encoding="ascii"))[plan.HOST_GROUP]
    if not admin.gf_json("hgs", "host-group", "list"):
        fabric_admin.gf("host", "submit", REFERENCE, "--host-group", sid, "--as", plan.HOST_GROUP)
        _approve(admin)
    tell.say(f"Submitted and approved: the domain group {plan.HOST_GROUP} ({sid}).")
    tell.say(f"The domain has the computers {', '.join(layout.HOSTS)}; in the group are {' and '.join(TRUSTED_HOSTS)}.")


def _by_host_key(tell: Narration, fabric_admin: Person) -> None:
    """The keys of the hosts that shall attest."""
    admin = hgs_administrator()
    known = {row["name"] for row in admin.gf_json("hgs", "host-key", "list")}
    for name in TRUSTED_HOSTS:
        if name not in known:
            _from_host(fabric_admin, name, "host-key", "cer")
    _approve(admin)
    tell.say(f"Each host made a key. Submitted and approved: those of {' and '.join(TRUSTED_HOSTS)}.")


def _from_host(fabric_admin: Person, name: str, kind: str, suffix: str, called: str = "") -> None:
    """A file is written on the host and submitted from the fabric administrator's machine."""
    at_host = host_console(name)
    file = at_host.folder / f"{name}.{suffix}"
    at_host.gf("host", kind, name, "--out", str(file))
    naming = ["--as", called] if called else []
    fabric_admin.gf("host", "submit", name, f"--{kind}", str(file), *naming)


def _approve(admin: Person) -> None:
    for waiting in admin.gf_json("hgs", "approvals"):
        admin.gf("hgs", "approve", waiting["id"])
