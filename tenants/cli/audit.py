"""`gf audit`: what a tenant checks about the uses of his keys. Works offline, from a bundle that the portal gives."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import click

from hgs.keyprotection.certificates import grouped
from hgs.transparency.audit import Report, Tally, verify_bundle
from hgs.transparency.bundle import Bundle
from hgs.transparency.checkpoint import open_checkpoint, origin_of
from hgs.transparency.event import KeyEvent
from hgs.transparency.note import NOTE_MAX, VKEY_MAX, VerifierKey
from hgs.transparency.proof import PROOF_MAX, parse_proof, prove_entry
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record, show_rows
from tenants.cli import key_account, owner_proof
from tenants.cli.audit_store import STORE_OPTION, Audited, AuditStore, store_from
from tenants.cli.files import read_limited, read_text, write_file
from tenants.cli.owner import EXISTING, WRITABLE
from tenants.cli.owner_certificate import PublicOwner, read_public_owner

_FIRST = "these are all entries that the log's key signed"


@click.group()
def audit() -> None:
    """The account of keys: check offline that no use of your keys is missing from your list."""


for _one in (*key_account.COMMANDS, *owner_proof.COMMANDS):
    audit.add_command(_one)


@audit.command()
@click.argument("bundle", type=EXISTING)
@click.option("--owner", type=EXISTING, required=True, help="Your owner guardian, its certificate, or a PDK of yours.")
@click.option("--key", help="The log's verifier key, or a file that holds it; asked to compare by eye otherwise.")
@click.option("--checkpoint", "seen", type=EXISTING, multiple=True, help="A checkpoint seen elsewhere. Repeatable.")
@click.option("--list", "list_", is_flag=True, help="Show each entry of yours in the bundle.")
@STORE_OPTION
@output_option
def verify(
    bundle: Path, owner: Path, key: str | None, seen: tuple[Path, ...], list_: bool, store: Path | None, output: Format
) -> None:
    """Prove from a BUNDLE that the log only grew, and that every use of your keys in it is shown to you.

    Needs no passphrase. Remembers how far the log was checked; the next bundle has to go on from there.
    """
    known, me = store_from(store), read_public_owner(owner)
    with bundle.open("rb") as file:
        pinned = _key_for(Bundle(file), key, known)
        last = known.last(pinned.name, me.fingerprint)
        others = [open_checkpoint(read_limited(one, NOTE_MAX), pinned) for one in seen]
        entries = _Entries(last.checkpoint.size if last else 0, keep_all=list_)
        kept = last.checkpoint if last else None
        report = verify_bundle(file, pinned, me.certificate, kept, others, entries.add)
    now = _audited(report, entries, last)
    known.keep(me.fingerprint, now)
    _show(_record(report, entries, now, me, pinned, before=last is not None), entries.rows if list_ else None, output)


@audit.command()
@STORE_OPTION
@output_option
def show(store: Path | None, output: Format) -> None:
    """Show the logs you know, and how far each was checked for which owner."""
    rows = [
        {**audited.to_json(), "owner": grouped(owner), "key": str(key), "key_hash": grouped(key.fingerprint)}
        for key, owner, audited in store_from(store).all()
    ]
    columns = [("origin", "LOG"), ("owner", "OWNER"), ("size", "CHECKED UP TO"), ("root", "ROOT"), ("at", "LAST AUDIT")]
    show_rows(rows, [*columns, ("since", "SINCE")], output)


@audit.command()
@click.argument("key")
@click.option("--replace", is_flag=True, help="Accept another key for a log that is known.")
@STORE_OPTION
@output_option
def key(key: str, replace: bool, store: Path | None, output: Format) -> None:
    """Remember the KEY of a log, as text or in a file, as the administrator of HGS gave it to you.

    It is what `gf hgs key-log key` prints there. The portal is not the place to take it from.
    """
    parsed = _parse_key(key)
    store_from(store).pin(parsed, replace=replace)
    record = {"log": parsed.name, "key": str(parsed), "key_hash": grouped(parsed.fingerprint)}
    show_record(record, [("log", "Log"), ("key", "Key"), ("key_hash", "SHA-256 of the key")], output)


@audit.command()
@click.argument("bundle", type=EXISTING)
@click.option("--index", type=click.IntRange(0), required=True, help="Number of the entry, as verify --list shows it.")
@click.option("--out", "-o", type=WRITABLE, required=True, help="File to write, such as entry.tlog-proof.")
@click.option("--key", help="The log's verifier key, or a file that holds it; the known one otherwise.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@STORE_OPTION
def prove(bundle: Path, index: int, out: Path, key: str | None, force: bool, store: Path | None) -> None:
    """Write the proof of one entry of yours in a BUNDLE, for somebody else.

    Whoever gets it can read that entry and no other, and check it with gf audit check.
    """
    with bundle.open("rb") as file:
        known = _key_for(Bundle(file), key, store_from(store))
        proof = prove_entry(file, known, index)
    write_file(out, proof.serialise(), force=force)
    click.echo(f"{out} is written. It proves entry {index} to whoever knows the log's key, and shows what it says.")


@audit.command()
@click.argument("proof", type=EXISTING)
@click.option("--key", help="The log's verifier key, or a file that holds it; the known one otherwise.")
@STORE_OPTION
@output_option
def check(proof: Path, key: str | None, store: Path | None, output: Format) -> None:
    """Check the PROOF of one entry, and show what the entry says."""
    parsed = parse_proof(read_limited(proof, PROOF_MAX))
    known = _parse_key(key) if key is not None else store_from(store).key(origin_of(parsed.note))
    if known is None:
        raise CliError("The log of this proof is not known here.", "Give --key KEY, from the administrator of HGS.")
    checkpoint, event = parsed.verify(known)
    record = {"log": checkpoint.origin, "size": checkpoint.size, "owner": event.owner, **_row(parsed.index, event)}
    show_record(record, [(name, name.replace("_", " ").capitalize()) for name in record], output)


class _Entries:
    """The owner's entries of one bundle, told apart by whether an earlier audit has counted them."""

    def __init__(self, counted: int, *, keep_all: bool) -> None:
        self.new = Tally()
        self.rows: list[dict[str, Any]] = []
        self._counted = counted
        self._keep_all = keep_all

    def add(self, index: int, event: KeyEvent) -> None:
        """One more, in the order of the log."""
        if index >= self._counted:
            self.new.add(event)
        if self._keep_all:
            self.rows.append(_row(index, event))


def _row(index: int, event: KeyEvent) -> dict[str, Any]:
    return {
        "index": index,
        "at": event.at.isoformat(),
        "result": event.result,
        "reason": event.reason,
        "message": event.message,
        "vm": event.vm,
        "host": event.host,
        "host_name": event.host_name,
        "protector": event.protector,
        "egress": event.egress,
        "guardian": event.guardian,
        "certificate": event.certificate,
        "verdict": event.verdict,
        "offline": event.offline,
    }


def _audited(report: Report, entries: _Entries, last: Audited | None) -> Audited:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    new = entries.new
    if last is None:
        return Audited(report.checkpoint, now, now, new.released, new.refused)
    return Audited(report.checkpoint, last.since, now, last.released + new.released, last.refused + new.refused)


def _key_for(bundle: Bundle, given: str | None, store: AuditStore) -> VerifierKey:
    """The key to believe: the one given, else the one known for the log, else what a person compares now."""
    if given is not None:
        parsed = _parse_key(given)
        store.pin(parsed)
        return parsed
    offered = VerifierKey.parse(bundle.vkey)
    known = store.key(offered.name)
    if known is not None:
        return known
    _confirm(offered, store.keys())
    store.pin(offered)
    return offered


def _confirm(offered: VerifierKey, others: list[VerifierKey]) -> None:
    click.echo(f"The bundle is of the key log\n  {offered.name}\nwhose key has the SHA-256", err=True)
    click.echo(f"  {grouped(offered.fingerprint)}", err=True)
    if others:
        click.echo("It is none of the logs you know: " + ", ".join(other.name for other in others), err=True)
    click.echo("Compare it with what `gf hgs key-log key` prints at the Host Guardian Service.", err=True)
    try:
        same = click.confirm("Is it the same?", default=False, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise CliError("Nobody is there to compare the log's key; nothing was checked.", "Give --key KEY.") from None
    if not same:
        raise CliError("The log's key was not confirmed; nothing was checked.", "Ask the administrator of HGS for it.")


def _parse_key(text_or_file: str) -> VerifierKey:
    if "+" in text_or_file:
        return VerifierKey.parse(text_or_file)
    return VerifierKey.parse(read_text(Path(text_or_file), VKEY_MAX).removesuffix("\n"))


def _record(
    report: Report, entries: _Entries, now: Audited, me: PublicOwner, key: VerifierKey, *, before: bool
) -> dict[str, Any]:
    mine = report.mine
    return {
        "log": report.checkpoint.origin,
        "key_hash": grouped(key.fingerprint),
        "size": report.checkpoint.size,
        "root": report.checkpoint.root.hex(),
        "from": report.begin,
        "examined": report.examined,
        "owner": grouped(me.fingerprint),
        "yours": mine.total,
        "released": mine.released,
        "refused": mine.refused,
        "new": entries.new.total,
        "first_at": _iso(mine.first_at),
        "last_at": _iso(mine.last_at),
        "known_released": now.released,
        "known_refused": now.refused,
        "since": now.since.isoformat(),
        "audited_before": before,
        "machines": [
            {"vm": vm, "released": tally.released, "refused": tally.refused, "last_at": _iso(tally.last_at)}
            for vm, tally in sorted(report.machines.items())
        ],
    }


def _iso(time: dt.datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _show(record: dict[str, Any], rows: list[dict[str, Any]] | None, output: Format) -> None:
    if output == "json":
        show_record(record if rows is None else {**record, "entries": rows}, [], output)
        return
    begun = "the log only grew since your last audit" if record["audited_before"] else _FIRST
    click.echo(f"Proven: {begun}, and no entry of yours among them is hidden from you.\n")
    show_record(_in_words(record), [(title, title) for title in _in_words(record)], output)
    if record["machines"]:
        click.echo()
        columns = [("vm", "VIRTUAL MACHINE"), ("released", "RELEASED"), ("refused", "REFUSED"), ("last_at", "LAST")]
        show_rows(record["machines"], columns, output)
    if rows:
        click.echo()
        columns = [("index", "ENTRY"), ("at", "AT"), ("result", "RESULT"), ("vm", "VIRTUAL MACHINE")]
        show_rows(rows, [*columns, ("host_name", "HOST"), ("message", "REASON")], output)


def _in_words(record: dict[str, Any]) -> dict[str, str]:
    earlier = "" if record["new"] == record["yours"] else f", {record['new']} of them new since your last audit"
    return {
        "Log": record["log"],
        "Entries": f"{record['size']}, of which {record['examined']} from {record['from']} on were looked at",
        "Yours there": f"{record['yours']}: {record['released']} released, {record['refused']} refused{earlier}",
        "From": record["first_at"] or "",
        "To": record["last_at"] or "",
        "Known so far": f"{record['known_released']} released, {record['known_refused']} refused",
        "Audited since": record["since"],
        "Owner": record["owner"],
    }
