"""``gf evidence diff``: what a boot did differently from another."""

from pathlib import Path

import click

from hgs.attestation.offline.compare import LogComparison, compare_files
from hgs.attestation.offline.log_reading import MAX_FILE
from hgs.cli.evidence.files import DIFFERENT, file_type, json_option, offline, read_file, show_json
from portal.cli.output import printable


@click.command()
@click.argument("baseline", type=file_type())
@click.argument("log", type=file_type())
@click.option("--exact", is_flag=True, help="Exit with 1 for any difference, also for one that HGS does not mind.")
@json_option
@click.pass_context
@offline
def diff(context: click.Context, baseline: Path, log: Path, exact: bool, as_json: bool) -> None:
    """Compare the boot log LOG with BASELINE, another boot log or a baseline that HGS stored.

    Windows logs are compared as HGS compares a host with its TPM baseline; all logs register by register and event by
    event.

    Exit code 0: same (for Windows logs: to HGS); 1: different; 2: one cannot be read.
    """
    found = compare_files(read_file(baseline, MAX_FILE), read_file(log, MAX_FILE))
    if as_json:
        show_json(found.as_json())
    else:
        _show_text(found)
    if not (found.identical and found.same if exact else found.same):
        context.exit(DIFFERENT)


def _show_text(found: LogComparison) -> None:
    if found.hgs is None:
        click.echo(f"In HGS's terms: not comparable. {printable(found.hgs_reason)}")
    elif not found.hgs:
        click.echo("In HGS's terms: the same.")
    else:
        click.echo("In HGS's terms:")
        for item in found.hgs:
            click.echo(f"  {item['subject']}: {printable(item['sentence'])}")
    for register in found.registers:
        before, after = register["before"] or "not extended", register["after"] or "not extended"
        click.echo(f"PCR {register['pcr']} ({register['bank']}): {before} → {after}")
    marks = {"added": "+", "removed": "-", "changed": "~"}
    for event in found.events:
        click.echo(f"{marks[event['change']]} PCR {event['pcr']:<2} {event['type']}  {printable(event['says'])}")
    for sentence in found.warnings:
        click.echo(f"warning: {printable(sentence)}")
    if found.identical:
        click.echo("No register and no event differs.")
