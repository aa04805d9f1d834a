"""``gf hgs``: what happened: attestations and key releases."""

from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import by_id, on_node
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record, show_rows

if TYPE_CHECKING:
    from hgs.models import Attestation
    from portal.kernel.actor import Actor


@click.command()
@click.argument("attestation_id", required=False)
@click.option("--host", default="", help="Of this host alone.")
@click.option("--outcome", type=click.Choice(["passed", "failed", "rehearsal"]), help="Of this outcome alone.")
@click.option("--mode", type=click.Choice(["tpm", "ad", "host-key"]), help="Of this mode alone.")
@click.option("--reason", default="", help="With this AttestationSubStatus, for example SecureBoot.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@output_option
@on_node
def attestations(
    actor: "Actor",
    attestation_id: str | None,
    host: str,
    outcome: str | None,
    mode: str | None,
    reason: str,
    limit: int,
    output: Format,
) -> None:
    """List the latest attestations, or show one check by check."""
    from hgs.selectors import attestations as selectors

    if attestation_id:
        _show_attestation(by_id(selectors.attestations(actor), attestation_id, "attestation"), output)
        return
    found = selectors.filtered(actor, host=host, outcome=outcome or "", mode=mode or "", sub_status=reason)
    rows = [
        {
            "id": str(item.id),
            "at": item.at.isoformat(timespec="seconds"),
            "host": item.host_name or item.identity[:16],
            "identity": item.identity,
            "mode": f"{item.get_mode_display()} {item.get_policy_version_display()}",
            "is_rehearsal": item.is_rehearsal,
            "status": item.status,
            "sub_statuses": ", ".join(item.verdict["sub_statuses"]),
            "certificate_not_after": item.certificate_not_after and item.certificate_not_after.isoformat(),
        }
        for item in found[:limit]
    ]
    columns = [("id", "ID"), ("at", "AT"), ("host", "HOST"), ("mode", "MODE"), ("status", "STATUS")]
    show_rows(rows, [*columns, ("sub_statuses", "WHY")], output)


def _show_attestation(found: "Attestation", output: Format) -> None:
    from hgs.attestation.verdict import Verdict

    verdict = Verdict.from_json(found.verdict)
    record = {
        "id": str(found.id),
        "at": found.at.isoformat(timespec="seconds"),
        "host": found.host_name,
        "identity": found.identity,
        "mode": f"{found.get_mode_display()} {found.get_policy_version_display()}",
        "is_rehearsal": found.is_rehearsal,
        "status": found.status,
        "status_number": verdict.status.number,
        "sub_statuses": [item.value for item in verdict.sub_statuses],
        "warnings": list(verdict.warnings),
        "certificate_not_after": found.certificate_not_after and found.certificate_not_after.isoformat(),
        "verdict": found.verdict,
        "checks": [f"{check.outcome.value:8} {check.code}: {check.sentence}" for check in verdict.checks],
    }
    fields = [
        ("id", "Attestation"),
        ("at", "At"),
        ("host", "Host"),
        ("identity", "Identity (SHA-256)"),
        ("mode", "Mode"),
        ("status", "AttestationStatus"),
        ("sub_statuses", "AttestationSubStatus"),
        ("warnings", "Warnings"),
        ("certificate_not_after", "Certificate until"),
        ("checks", "Checks"),
    ]
    show_record(record, fields, output)


@click.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@output_option
@on_node
def releases(actor: "Actor", limit: int, output: Format) -> None:
    """List the latest key releases and refusals."""
    from hgs.selectors.releases import releases as found

    rows = [
        {
            "at": item.at.isoformat(timespec="seconds"),
            "result": "released" if item.released else "refused",
            "host": item.host_name or "unknown",
            "owner": item.owner_fingerprint,
            "protector": item.protector_hash,
            "certificate_serial": item.certificate_serial,
            "reason": item.reason,
            "message": item.message,
        }
        for item in found(actor)[:limit]
    ]
    columns = [("at", "AT"), ("result", "RESULT"), ("host", "HOST"), ("protector", "PROTECTOR"), ("message", "REASON")]
    show_rows(rows, columns, output)


@click.command("verify-log")
@on_node
def verify_log(actor: "Actor") -> None:
    """Check that nothing was changed, removed or put in between: audit events, and the log of keys."""
    from hgs.policy import Action, may
    from hgs.selectors.key_log import size
    from hgs.selectors.key_log_check import damage
    from portal.kernel import audit
    from portal.kernel.policy import require

    require(may(actor, Action.READ))
    broken = audit.verify_chain()
    if broken is not None:
        raise CliError(f"The audit chain is broken at event {broken}.", "Compare the database with a backup.")
    if (wrong := damage()) is not None:
        raise CliError(wrong, "Compare the database with a backup. Owners who keep a checkpoint will find it out too.")
    click.echo(f"The audit chain is whole, and so is the key log ({size()} entries).")


COMMANDS: Final[tuple[click.Command, ...]] = (attestations, releases, verify_log)
