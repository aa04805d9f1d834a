"""``gf hgs signer``: what signs health certificates."""

from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import on_node
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_rows

if TYPE_CHECKING:
    from datetime import datetime

    from hgs.models import ServiceKey
    from portal.kernel.actor import Actor


@click.group()
def signer() -> None:
    """The attestation signer. HGS renews it by itself, well before it ends."""


@signer.command("list")
@output_option
@on_node
def list_signers(actor: "Actor", output: Format) -> None:
    """List signers: the one that signs, those that are trusted until all they signed is over, and past ones."""
    from hgs.selectors.configuration import configuration
    from hgs.selectors.keys import signers

    of_all = configuration().deny_issued_before
    rows = [
        {
            "fingerprint": item.fingerprint,
            "state": item.state,
            "not_before": item.not_before.isoformat(timespec="seconds"),
            "not_after": item.not_after.isoformat(timespec="seconds"),
            "trusted_until": item.trusted_until and item.trusted_until.isoformat(timespec="seconds"),
            "deny_issued_before": _later(of_all, item.deny_issued_before),
        }
        for item in signers(actor)
    ]
    columns = [("state", "STATE"), ("not_before", "VALID FROM"), ("not_after", "VALID UNTIL")]
    columns += [("trusted_until", "TRUSTED UNTIL"), ("deny_issued_before", "NOTHING ISSUED BEFORE")]
    show_rows(rows, [*columns, ("fingerprint", "SHA-256")], output)


def _later(*moments: "datetime | None") -> str | None:
    """What counts of the moment for all signers and that for one."""
    given = [moment for moment in moments if moment is not None]
    return max(given).isoformat(timespec="seconds") if given else None


@signer.command("renew")
@click.option(
    "--compromised",
    is_flag=True,
    help="Its key may be known to others: trust nothing that it signed any more. Hosts attest again by themselves.",
)
@on_node
def renew(actor: "Actor", compromised: bool) -> None:
    """Sign with a new signer from now on; the one before stays trusted until all it signed is over."""
    from django.utils import timezone

    from hgs.commands.signers import renew_signer

    renewed = renew_signer(actor, timezone.now(), compromised=compromised)
    click.echo(f"New attestation signer: {renewed.fingerprint}")
    if compromised:
        click.echo(
            "The one before is no longer trusted. Each host gets keys again once it has attested again, which it does "
            "by itself."
        )


@signer.command("deny-issued-before")
@click.argument("moment", required=False, metavar="[TIME|now]")
@click.option("--signer", "fingerprint", default="", help="Of the signer whose SHA-256 begins so; otherwise of any.")
@click.option("--clear", is_flag=True, help="Let certificates count again whenever they were issued.")
@on_node
def deny(actor: "Actor", moment: str | None, fingerprint: str, clear: bool) -> None:
    """Refuse health certificates that were issued before TIME (like 2026-11-27T14:00:00+01:00), at once everywhere.

    Hosts that are well attest again by themselves.
    """
    from hgs.commands.deny_issued_before import clear_deny_issued_before, deny_issued_before

    if clear == (moment is not None):
        raise CliError("It is not said which moment.", "Give a time, now, or --clear.")
    chosen = _signer(fingerprint) if fingerprint else None
    whose = f"the signer {chosen.fingerprint[:16]}" if chosen else "any signer"
    if moment is None:
        clear_deny_issued_before(actor, chosen)
        click.echo(f"Health certificates of {whose} count again whenever they were issued.")
        return
    at = _moment(moment)
    deny_issued_before(actor, at, chosen)
    click.echo(f"Health certificates of {whose} issued before {at.isoformat(timespec='seconds')} open nothing now.")


def _moment(text: str) -> "datetime":
    from datetime import datetime

    from django.utils import timezone

    if text == "now":
        return timezone.now()
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise CliError(f"{text} is no time.", "Write it like 2026-11-27T14:00:00+01:00, or now.") from None


def _signer(text: str) -> "ServiceKey":
    from hgs.models import KeyPurpose, ServiceKey

    wanted = text.replace(" ", "").replace(":", "").lower()
    rows = ServiceKey.objects.filter(purpose=KeyPurpose.ATTESTATION_SIGNER, fingerprint__startswith=wanted)
    found = list(rows[:2]) if len(wanted) >= 8 else []
    if len(found) != 1:
        raise CliError(f"{text} is not the SHA-256 of one signer.", "List them: gf hgs signer list")
    return found[0]


COMMANDS: Final[tuple[click.Command, ...]] = (signer,)
