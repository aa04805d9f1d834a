"""``gf evidence show``: a boot log in words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from hgs.attestation.offline.log_reading import MAX_FILE, ReadLog, read_log
from hgs.attestation.offline.log_report import report_log
from hgs.attestation.offline.names import bank_name
from hgs.cli.evidence.files import DIFFERENT, file_type, json_option, offline, read_file, show_json
from portal.cli.output import printable

_SHOWN_DIGEST: Final = 16


@click.command()
@click.argument("log", type=file_type())
@json_option
@click.pass_context
@offline
def show(context: click.Context, log: Path, as_json: bool) -> None:
    """Explain the boot log LOG and replay it to register values.

    Exit code 0: read to its end; 1: only a part could be read, which is shown; 2: not a boot log.
    """
    found = read_log(read_file(log, MAX_FILE))
    report = report_log(found)
    if as_json:
        show_json(report)
    else:
        _show_text(log, found, report)
    if not found.complete:
        context.exit(DIFFERENT)


def _show_text(path: Path, log: ReadLog, report: Mapping[str, Any]) -> None:
    kind = "crypto-agile" if log.agile else "TPM 1.2 format"
    banks = ", ".join(bank_name(bank) for bank in log.banks)
    click.echo(f"{printable(path)}: {kind}, {banks}, {len(log.records)} records")
    _show_events(report["events"], bank_name(_shown_bank(log)))
    for bank, values in report["pcrs"].items():
        click.echo(f"\nRegisters ({bank})")
        for pcr, value in values.items():
            click.echo(f"  {pcr:>2}  {value}")
    click.echo("\nWarnings" if report["warnings"] else "\nNothing is out of order.")
    for sentence in report["warnings"]:
        click.echo(f"  {printable(sentence)}")


def _shown_bank(log: ReadLog) -> int:
    return 0x000B if 0x000B in log.banks else log.banks[0]


def _show_events(events: list[dict[str, Any]], bank: str) -> None:
    width = max(len(event["type"]) for event in events)
    title = f"digest ({bank})".ljust(_SHOWN_DIGEST + 1)
    click.echo(f"\n{'record':>6}  PCR  {'type'.ljust(width)}  {title}  what it says")
    for event in events:
        digest = event["digests"].get(bank, "") if event["measured"] else ""
        shown = digest[:_SHOWN_DIGEST] + ("…" if digest else "")
        pcr = "-" if event["pcr"] > 23 else event["pcr"]
        head = f"{event['number']:>6}  {pcr:>3}  {event['type'].ljust(width)}  {shown.ljust(_SHOWN_DIGEST + 1)}"
        click.echo(f"{head}  {printable(event['says'])}")
        for record in event["content"].get("records", ()):
            _show_records(record, 1)


def _show_records(record: Mapping[str, Any], depth: int) -> None:
    """Windows' records inside an event; a loaded module takes one line."""
    indent = " " * (13 + 2 * depth)
    children = record.get("children")
    if children is None:
        if depth > 1:
            click.echo(f"{indent}{record['name']} = {printable(record['words'])}")
        return
    if record["name"] == "LOADEDMODULE_AGGREGATION":
        words = {child["name"]: child.get("words", "") for child in children}
        digest = words.get("AUTHENTICODEHASH", "")
        name = (
            f"{words['FILEPATH']}, {words.get('IMAGESIZE', '?')} bytes"
            if "FILEPATH" in words
            else "(path not measured)"
        )
        click.echo(f"{indent}module {printable(name)}, {digest[:_SHOWN_DIGEST]}…")
        return
    for child in children:
        _show_records(child, depth + 1)
