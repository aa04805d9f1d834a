"""``gf evidence verify``: a quote checked, and explained by a log or by given registers."""

from pathlib import Path
from typing import Final

import click

from hgs.attestation.errors import AttestationError, Malformed
from hgs.attestation.offline import key_files, log_reading, quote, register_files
from hgs.cli.evidence.files import DIFFERENT, UNUSABLE, file_type, json_option, offline, read_file, show_json
from portal.cli.failure import CliError
from portal.cli.output import printable

_MAX_NONCE: Final = 64


@click.command()
@click.option("--quote", "quote_path", type=file_type(), required=True, help="TPMS_ATTEST or TPM2B_ATTEST.")
@click.option("--signature", type=file_type(), required=True, help="TPMT_SIGNATURE, or the bare signature.")
@click.option("--ak", type=file_type(), required=True, help="Attestation key: PEM, DER, certificate, TPM public area.")
@click.option("--nonce", metavar="HEX", help="What the quote must be over.")
@click.option("--log", type=file_type(), help="Boot log that must replay to the quoted registers.")
@click.option("--pcrs", type=file_type(), help='Register values: {"sha256": {"0": "<hex>", …}}.')
@json_option
@click.pass_context
@offline
def verify(
    context: click.Context,
    quote_path: Path,
    signature: Path,
    ak: Path,
    nonce: str | None,
    log: Path | None,
    pcrs: Path | None,
    as_json: bool,
) -> None:
    """Check a TPM's quote: signature, kind, nonce, and that every quoted register is explained.

    Give --log, --pcrs or both: a quote that nothing explains proves nothing and is refused.

    Exit code 0: accepted; 1: refused; 2: the files cannot be read.
    """
    try:
        verdict = quote.verify_quote(_files(quote_path, signature, ak, nonce, log, pcrs))
    except (AttestationError, CliError) as error:
        if not as_json:
            raise
        code = error.code if isinstance(error, AttestationError) else "unusable"
        show_json({"accepted": False, "reason": error.message, "code": code, "checks": [], "warnings": []})
        context.exit(UNUSABLE)
    if as_json:
        show_json(verdict.as_json())
    else:
        _show_text(verdict)
    if not verdict.accepted:
        context.exit(DIFFERENT)


def _files(
    quote_path: Path, signature: Path, ak: Path, nonce: str | None, log: Path | None, pcrs: Path | None
) -> quote.QuoteFiles:
    wanted = _nonce(nonce)
    read = None if log is None else log_reading.read_log(read_file(log, log_reading.MAX_FILE))
    if read is not None and not read.complete:
        raise Malformed(f"The log cannot be read to its end, so it explains nothing. {read.warnings[-1]}")
    return quote.QuoteFiles(
        quote=read_file(quote_path, quote.MAX_ATTEST),
        signature=read_file(signature, key_files.MAX_FILE),
        key=key_files.read_attestation_key(read_file(ak, key_files.MAX_FILE)),
        nonce=wanted,
        log=read,
        registers=None if pcrs is None else register_files.read_registers(read_file(pcrs, register_files.MAX_FILE)),
    )


def _nonce(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise CliError("The nonce is not hexadecimal.", exit_code=UNUSABLE) from error
    if not value:
        advice = "Give the nonce that was asked for, or leave --nonce out: then freshness is not checked."
        raise CliError("The nonce is empty: an empty one makes no quote fresh.", advice, exit_code=UNUSABLE)
    if len(value) > _MAX_NONCE:
        raise CliError(f"The nonce has {len(value)} bytes; a TPM takes at most {_MAX_NONCE}.", exit_code=UNUSABLE)
    return value


def _show_text(verdict: quote.QuoteVerdict) -> None:
    for check in verdict.checks:
        click.echo(f"{'ok' if check.passed else 'NO':<4}{check.code:<22}{printable(check.sentence)}")
    for sentence in verdict.warnings:
        click.echo(f"warning: {printable(sentence)}")
    click.echo("The quote is accepted." if verdict.accepted else f"The quote is refused: {printable(verdict.reason)}")
