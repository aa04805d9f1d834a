"""`gf audit entries`, `open`, `fetch`, `log-key`: the account of keys as the portal passes it on, over its REST API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from hgs.keyprotection.certificates import grouped
from hgs.transparency.note import VerifierKey
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record, show_rows
from portal.cli.rest import RestClient
from tenants.cli.audit_store import STORE_OPTION, AuditStore, store_from
from tenants.cli.files import write_file
from tenants.cli.owner import EXISTING, WRITABLE, read_owner, unlock_owner
from tenants.cli.owner_certificate import read_public_owner
from tenants.cli.portal_objects import VMS, one_of
from tenants.owner_proof import parse_challenge, prove

ACCOUNT = "/api/v1/key-account/"
_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)
_COLUMNS = (
    ("index", "ENTRY"), ("at", "AT"), ("result", "RESULT"), ("host_name", "HOST"), ("vm_shown", "VM"),
    ("offline_starts", "OFFLINE"), ("protector", "PROTECTOR"), ("message", "REASON"),
)  # fmt: skip
_OWNER_OPTION = click.option(
    "--owner",
    "owner_text",
    metavar="FILE|FINGERPRINT",
    help="The owner, as a file or as SHA-256.",
)


@click.command()
@_OWNER_OPTION
@click.option("--vm", "vm_name", help="Of this virtual machine of yours alone.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@output_option
def entries(owner_text: str | None, vm_name: str | None, limit: int, output: Format) -> None:
    """List who asked for your keys: of one VM, or of an owner whose key you have proven to hold."""
    if not owner_text and not vm_name:
        raise click.UsageError("Give --owner, --vm or both.")
    with RestClient() as rest:
        asked = {"owner": owner_fingerprint(owner_text)} if owner_text else {}
        if vm_name:
            asked["vm"] = one_of(rest, VMS, vm_name, "virtual machine")["id"]
        rows = _read(rest, asked, limit)
    show_rows([row | {"vm_shown": row["vm_name"] or row["vm"] or ""} for row in rows], _COLUMNS, output)


def _read(rest: RestClient, asked: dict[str, str], limit: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while len(rows) < limit:
        page = rest.get(ACCOUNT, asked)
        rows += page["entries"]
        if page["before"] is None:
            break
        asked = asked | {"before": str(page["before"])}
    return rows[:limit]


@click.command(name="open")
@click.option("--owner", type=EXISTING, required=True, help="Your owner guardian file.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is the passphrase; asked for otherwise.")
def open_(owner: Path, passphrase_file: Path | None) -> None:
    """Open the account of an owner's keys to yourself: ask the portal for a challenge, sign it, give it back."""
    with RestClient() as rest:
        fingerprint = read_owner(owner).guardian.fingerprint
        challenge = str(rest.post(f"{ACCOUNT}challenges/", {"owner": fingerprint})["challenge"])
        _check_origin(challenge, rest.origin)
        proof = prove(challenge, unlock_owner(owner, passphrase_file))
        rest.post(f"{ACCOUNT}proofs/", {"proof": proof})
    click.echo(f"The account of the owner {grouped(fingerprint)} is open to you.")


def _check_origin(challenge: str, origin: str) -> None:
    """Sign nothing for another portal: this one might pass on a challenge that lets a stranger in there."""
    asked = parse_challenge(challenge)
    if asked.origin != origin:
        raise CliError(
            f"The challenge is for {asked.origin}, not for {origin}; nothing was signed.",
            "If both are the same portal, sign its challenge with gf audit prove-owner.",
        )


@click.command()
@click.option(
    "--owner", "owner_text", required=True, metavar="FILE|FINGERPRINT", help="Owner guardian file, or SHA-256."
)
@click.option("--out", "-o", type=WRITABLE, required=True, help="File to write, a ZIP.")
@click.option("--from", "from_size", type=click.IntRange(0), help="First entry. [default: where your last audit ended]")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@STORE_OPTION
def fetch(owner_text: str, out: Path, from_size: int | None, force: bool, store: Path | None) -> None:
    """Fetch the bundle that gf audit verify checks, of an owner whose key you have proven to hold."""
    if out.exists() and not force:
        raise CliError(f"{out} exists already.", "Choose another name, or overwrite it with --force.")
    owner = owner_fingerprint(owner_text)
    with RestClient() as rest:
        begin = _kept_size(rest, store_from(store), owner) if from_size is None else from_size
        size = rest.download(f"{ACCOUNT}bundle/?{urlencode({'owner': owner, 'from': str(begin)})}", out)
    click.echo(f"{out} is written: {size} bytes, the log from entry {begin} on.")
    click.echo(f"Check it: gf audit verify {out} --owner owner.guardian")


def _kept_size(rest: RestClient, store: AuditStore, owner: str) -> int:
    """How far the portal's log was checked for this owner; a wrong name of the log only makes the bundle longer."""
    last = store.last(VerifierKey.parse(str(rest.get(f"{ACCOUNT}log-key/")["vkey"])).name, owner)
    return last.checkpoint.size if last else 0


@click.command("log-key")
@click.option("--out", "-o", type=WRITABLE, help="File to write the key to.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@output_option
def log_key(out: Path | None, force: bool, output: Format) -> None:
    """Show the key of the key log as the portal tells it; compare its hash with the HGS administrator."""
    with RestClient() as rest:
        found = rest.get(f"{ACCOUNT}log-key/")
    if out is not None:
        write_file(out, f"{found['vkey']}\n".encode(), force=force)
    fingerprint = str(found["fingerprint"])
    shown = found if output == "json" else found | {"fingerprint": grouped(fingerprint)}
    show_record(shown, [("vkey", "Key"), ("fingerprint", "SHA-256")], output)


def owner_fingerprint(text: str) -> str:
    """The fingerprint of an owner given as a file or as the fingerprint itself. Raises CliError."""
    bare = re.sub(r"[\s:\-]", "", text).lower()
    if _FINGERPRINT.fullmatch(bare):
        return bare
    if not Path(text).is_file():
        raise CliError(f"{text} is neither a file nor a fingerprint.", "Give your owner guardian file.")
    return read_public_owner(Path(text)).fingerprint


COMMANDS = (entries, open_, fetch, log_key)
