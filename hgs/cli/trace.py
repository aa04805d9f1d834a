"""``gf hgs trace``: diagnostics with their remedies."""

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import on_node
from portal.cli.failure import FAILED
from portal.cli.output import json_text, printable

if TYPE_CHECKING:
    from hgs.trace.findings import Report
    from portal.kernel.actor import Actor

_MARKS: Final = {"pass": "pass   ", "warning": "WARNING", "fail": "FAIL   "}


@click.command()
@click.option("--detailed", is_flag=True, help="Also what passed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@on_node
def trace(actor: "Actor", detailed: bool, as_json: bool) -> None:
    """Diagnose this HGS: roles, mode, keys, certificates, clocks, hosts. Exit code 1 if something failed."""
    from hgs.trace import trace as run

    report = run(actor)
    if as_json:
        click.echo(json_text(report.to_json(detailed=detailed)))
    else:
        _show(report, detailed)
    if report.overall.value == "fail":
        sys.exit(FAILED)


def _show(report: "Report", detailed: bool) -> None:
    from hgs.trace.findings import Result

    for group, findings in groupby(report.shown(detailed=detailed), key=lambda finding: finding.group):
        click.echo(group)
        for finding in findings:
            click.echo(f"  {_MARKS[finding.told.result.value]}  {finding.title}: {printable(finding.told.sentence)}")
            if finding.told.remedy:
                click.echo(f"           what to do: {printable(finding.told.remedy)}")
    counts = ", ".join(f"{report.count(result)} {result.value}" for result in Result)
    mode = f"{report.mode.label} mode, " if report.mode else ""
    click.echo(f"Overall result: {report.overall.value} ({mode}{counts}).")
    if not detailed and report.count(Result.PASS):
        click.echo("See what passed: gf hgs trace --detailed")


COMMANDS: Final[tuple[click.Command, ...]] = (trace,)
