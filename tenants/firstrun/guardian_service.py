"""Step 1 and the approvals: what HGS's administrator does."""

from __future__ import annotations

from portal.embedded import layout
from portal.embedded.credentials import write_private
from portal.embedded.preflight import MODES
from tenants.firstrun.narration import Narration
from tenants.firstrun.people import CommandFailed, Person, hgs_administrator

ADMINISTRATOR = "hgs-admin"
METADATA = "guardian-metadata.xml"


def initialise(tell: Narration) -> None:
    """The chosen mode, fresh guardian certificates, an account for the administrator, metadata for tenants."""
    admin = hgs_administrator()
    shown = admin.gf_json("hgs", "init", MODES[layout.MODE], "--name", "HGS", "--if-needed")
    _account(admin)
    admin.gf("hgs", "metadata", "-o", str(admin.folder / METADATA))
    tell.say(f"HGS is in {shown['mode']} mode at {layout.HGS_URL}; its guardian metadata is signed by")
    tell.say(grouped(shown["communications_fingerprint"]))
    if shown["auto_approve"]:
        tell.say("Submissions are approved automatically: this is a laboratory (HGS_AUTO_APPROVE).")


def _account(admin: Person) -> None:
    password_file = admin.folder / "password"
    if password_file.is_file():
        return
    try:
        made = admin.gf_json("hgs", "admin", "add", ADMINISTRATOR)
    except CommandFailed as failed:
        raise CommandFailed(
            "gf hgs admin add", failed.status, failed.output + "\nIts password was lost; give it a new one by hand."
        ) from failed
    write_private(password_file, made["password"] + "\n")


def trust_tpm_maker(tell: Narration) -> None:
    """HGS trusts the maker whose endorsement-key certificates the emulated hosts' TPMs carry."""
    admin = hgs_administrator()
    known = admin.gf_json("hgs", "tpm-root", "list")
    if known:
        return
    for path in sorted((layout.VAR / "tpm-ca").glob("*.pem")):
        if "BEGIN CERTIFICATE" in path.read_text(encoding="ascii", errors="replace"):
            admin.gf("hgs", "tpm-root", "add", str(path))
    tell.say("HGS trusts the maker of the hosts' TPMs (here the emulator's own certificate authority).")


def password() -> str:
    return (hgs_administrator().folder / "password").read_text(encoding="utf-8").strip()


def grouped(fingerprint: str) -> str:
    """A fingerprint in groups of four, to compare by eye."""
    digits = fingerprint.replace(":", "").replace(" ", "").lower()
    return " ".join(digits[index : index + 4] for index in range(0, len(digits), 4))
