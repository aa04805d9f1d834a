"""``gf hgs``: what happened: attestations and key releases."""

from typing import TYPE_CHECKING, Any, Final

import click

from hgs.cli.node import by_id, on_node
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record, show_rows

if TYPE_CHECKING:
    from hgs.models import Attestation, KeyRelease
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


_RELEASE_COLUMNS: Final = (
    ("log_index", "ENTRY"), ("at", "AT"), ("result", "RESULT"), ("host", "HOST"), ("vm", "VM"),
    ("owner_begins", "OWNER"), ("offline_unwraps", "OFFLINE"), ("message", "REASON"),
)  # fmt: skip


@click.command()
@click.option("--host", default="", help="To this host alone.")
@click.option("--owner", default="", help="Of this owner alone: the fingerprint, or how it begins.")
@click.option("--vm", default="", help="For this virtual machine alone: its id, as hosts say it.")
@click.option("--result", type=click.Choice(["released", "refused"]), help="Of this result alone.")
@click.option("--since", default="", metavar="YYYY-MM-DD", help="From this day on (UTC).")
@click.option("--until", default="", metavar="YYYY-MM-DD", help="Until this day (UTC), and on it.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@output_option
@on_node
def releases(
    actor: "Actor",
    host: str,
    owner: str,
    vm: str,
    result: str | None,
    since: str,
    until: str,
    limit: int,
    output: Format,
) -> None:
    """List the latest key releases and refusals."""
    from hgs.selectors.releases import filtered

    found = filtered(actor, host=host, owner=owner, vm=vm, result=result or "", since=since, until=until)
    show_rows([_release(item) for item in found[:limit]], _RELEASE_COLUMNS, output)


def _release(item: "KeyRelease") -> dict[str, Any]:
    return {
        "log_index": item.log_index,
        "at": item.at.isoformat(timespec="seconds"),
        "result": "released" if item.released else "refused",
        "host": item.host_name or "unknown",
        "host_identity": item.host_identity,
        "vm": str(item.vm_id) if item.vm_id else "",
        "owner": item.owner_fingerprint,
        "owner_begins": item.owner_fingerprint[:16],
        "guardian": item.guardian_fingerprint,
        "protector": item.protector_hash,
        "egress": item.egress_hash,
        "certificate_serial": item.certificate_serial,
        "attestation": str(item.attestation_id) if item.attestation_id else "",
        "offline_unwraps": item.offline_unwraps,
        "reason": item.reason,
        "message": item.message,
    }


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
