"""``gf evidence ek``: an endorsement-key certificate explained, and its chain checked."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from hgs.attestation.offline import ek_report
from hgs.cli.evidence.files import DIFFERENT, UNUSABLE, file_type, json_option, offline, read_file, show_json
from portal.cli.failure import CliError
from portal.cli.output import printable

_SUFFIXES: Final = frozenset({".cer", ".crt", ".pem", ".der"})
_MAX_FILES: Final = 5000
_FIELDS: Final = (
    ("manufacturer", "Manufacturer"),
    ("model", "Model"),
    ("version", "Version"),
    ("subject", "Subject"),
    ("issuer", "Issuer"),
    ("serial", "Serial number"),
    ("not_before", "Valid from"),
    ("not_after", "Valid to"),
    ("key", "Key"),
    ("is_endorsement_key", "Endorsement key"),
    ("sha256", "SHA-256"),
    ("quirks", "Quirks"),
)


@click.command()
@click.argument("cert", type=file_type())
@click.option("--roots", type=file_type(), required=True, help="Folder of trusted roots, and of intermediates.")
@click.option("--at", metavar="DATE", help="Check for this day (YYYY-MM-DD) instead of now.")
@json_option
@click.pass_context
@offline
def ek(context: click.Context, cert: Path, roots: Path, at: str | None, as_json: bool) -> None:
    """Explain the endorsement-key certificate CERT and check that it leads to one of the trusted roots.

    The rules are those of attestation: a chain that was valid once stays good, and that it ran out is a warning.

    Exit code 0: the chain is good; 1: it is not; 2: the certificate cannot be read.
    """
    when = _date(at)
    certificate = ek_report.read_certificate(read_file(cert, ek_report.MAX_FILE))
    trusted, problems = ek_report.read_trusted(_files(roots))
    report = ek_report.report_ek(certificate, trusted, when)
    if as_json:
        show_json(report.as_json() | {"warnings": [*report.warnings, *problems]})
    else:
        _show_text(report, problems)
    if not report.accepted:
        context.exit(DIFFERENT)


def _date(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise CliError(f"{text!r} is no date; write it as 2026-03-31.", exit_code=UNUSABLE) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        raise CliError(f"{folder} is not a folder.", "Give the folder with the trusted roots.", exit_code=UNUSABLE)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    if len(paths) > _MAX_FILES:
        raise CliError(f"{folder} has more than {_MAX_FILES} certificates.", exit_code=UNUSABLE)
    for path in paths:
        yield path.name, read_file(path, ek_report.MAX_FILE)


def _show_text(report: ek_report.EkReport, problems: list[str]) -> None:
    facts = dict(report.facts)
    facts["manufacturer"] = " ".join(filter(None, (facts["manufacturer_name"], f"({facts['manufacturer']})")))
    facts["quirks"] = ", ".join(facts["quirks"]) or "none"
    for key, title in _FIELDS:
        click.echo(f"{title + ':':<17}{printable(facts[key])}")
    for index, name in enumerate(report.path):
        click.echo(f"{'Path:' if index == 0 else '':<17}{'  ' * index}{printable(name)}")
    for sentence in (*report.warnings, *problems):
        click.echo(f"warning: {printable(sentence)}")
    click.echo(f"{'The chain is good.' if report.accepted else 'The chain is not good.'} {printable(report.reason)}")
