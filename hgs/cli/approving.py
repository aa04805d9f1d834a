"""``gf hgs``: what waits for a decision, what it would change, and deciding; capturing baselines from attestations."""

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hgs.cli.node import by_id, on_node
from hgs.cli.versions import version_option
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record, show_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import Model, QuerySet

    from hgs.commands.capture import Captured
    from hgs.commands.decisions import Decided
    from hgs.models import Submission
    from hgs.selectors.changes import Difference
    from hgs.selectors.policy_dry_run import PolicyForecast
    from portal.kernel.actor import Actor


_M = TypeVar("_M", bound="Model")
_SHOWN_ENTRIES: Final = 10
"""Entries of one change that are shown to people: a revocation list has hundreds."""


@click.command()
@click.option("--state", type=click.Choice(["pending", "approved", "rejected", "all"]), default="pending")
@output_option
@on_node
def approvals(actor: "Actor", state: str, output: Format) -> None:
    """List what the fabric submitted."""
    from hgs.selectors.submissions import submissions

    rows = [
        {
            "id": str(item.id),
            "kind": item.kind,
            "name": item.name,
            "policy_version": f"v{item.policy_version}",
            "state": item.state,
            "submitted_at": item.submitted_at.isoformat(timespec="seconds"),
            "submitted_by": item.submitted_by,
            "reason": item.reason,
        }
        for item in submissions(actor, "" if state == "all" else state)
    ]
    columns = [("id", "ID"), ("kind", "KIND"), ("name", "NAME"), ("state", "STATE"), ("submitted_at", "SUBMITTED")]
    if rows or output == "json":
        show_rows(rows, [*columns, ("submitted_by", "BY"), ("reason", "REASON")], output)
    else:
        click.echo("Nothing waits." if state == "pending" else "There is no such submission.")


@click.command()
@click.argument("submission_id")
@output_option
@on_node
def approval(actor: "Actor", submission_id: str, output: Format) -> None:
    """Show one submission and what its approval changes."""
    from hgs.selectors.changes import difference, forecast
    from hgs.selectors.submissions import preview, submissions

    submission = by_id(submissions(actor), submission_id, "submission")
    seen, found, outlook = preview(actor, submission), difference(actor, submission), forecast(actor, submission)
    record: dict[str, Any] = {"id": str(submission.id), "kind": submission.kind, "name": submission.name}
    record |= {"state": submission.state, "change": seen.change, "warnings": list(seen.warnings)}
    if output == "json":
        record |= {"facts": dict(seen.facts), "difference": _difference_json(found), "hosts": _hosts(outlook)}
    fields = [(key, key.capitalize()) for key in record]
    if output == "table":
        record["difference"] = _difference_lines(found)
        record["hosts"] = [f"{host['name']}: {host['expectation']}" for host in _hosts(outlook)]
        fields += [("difference", "Difference"), ("hosts", "Hosts that would fare otherwise")]
        for number, (label, value) in enumerate(seen.facts):
            record[f"fact-{number}"] = value
            fields.append((f"fact-{number}", label))
    show_record(record, fields, output)


def _hosts(outlook: "PolicyForecast | None") -> list[dict[str, Any]]:
    changes = outlook.changes if outlook else ()
    return [
        {"name": one.name, "expectation": one.after.expectation.value, "reasons": list(one.after.reasons)}
        for one in changes
    ]


def _difference_json(found: "Difference | None") -> dict[str, Any] | None:
    from dataclasses import asdict

    return None if found is None else asdict(found)


def _difference_lines(found: "Difference | None") -> list[str]:
    if found is None:
        return []
    lines = [found.sentence]
    for change in found.changes:
        sign = {"added": "+", "removed": "-"}.get(change.kind, "~")
        lines.append(f"{'!' if change.weakens else ' '} {sign} {change.subject}: {change.sentence}")
        lines += [f"      {entry}" for entry in change.entries[:_SHOWN_ENTRIES]]
        if (more := len(change.entries) - _SHOWN_ENTRIES) > 0:
            lines.append(f"      and {more} more: --output json")
    return lines


@click.command()
@click.argument("submission_ids", nargs=-1, required=True)
@version_option
@click.option(
    "--force", is_flag=True, help="Admit a TPM host that has no certificate of a trusted maker; version v1 only."
)
@output_option
@on_node
def approve(actor: "Actor", submission_ids: tuple[str, ...], version: int | None, force: bool, output: Format) -> None:
    """Approve submissions: HGS trusts them at once. Each is decided on its own."""
    from hgs.commands.decisions import approve_many
    from hgs.models import PolicyVersion

    chosen_version = PolicyVersion(version) if version else None
    _decide(
        actor,
        submission_ids,
        "approved",
        output,
        lambda chosen: approve_many(actor, chosen, version=chosen_version, force=force),
    )


@click.command()
@click.argument("submission_ids", nargs=-1, required=True)
@click.option("--reason", default="", help="Why, for the record and for the fabric.")
@output_option
@on_node
def reject(actor: "Actor", submission_ids: tuple[str, ...], reason: str, output: Format) -> None:
    """Reject submissions. Each is decided on its own."""
    from hgs.commands.decisions import reject_many

    _decide(actor, submission_ids, "rejected", output, lambda chosen: reject_many(actor, chosen, reason))


def _decide(
    actor: "Actor",
    submission_ids: tuple[str, ...],
    word: str,
    output: Format,
    decide: "Callable[[list[Submission]], list[Decided]]",
) -> None:
    from hgs.selectors.submissions import submissions

    chosen, wrong = _found(submissions(actor), submission_ids, "submission")
    decided = decide(chosen)
    rows: list[dict[str, Any]] = [
        {
            "id": str(item.submission.id),
            "kind": item.submission.kind,
            "name": item.submission.name,
            "result": word if item.error is None else f"not {word}",
            "reason": item.reason,
        }
        for item in decided
    ]
    rows += [
        {"id": given, "kind": None, "name": given, "result": f"not {word}", "reason": reason}
        for given, reason in wrong.items()
    ]
    show_rows(rows, [("kind", "KIND"), ("name", "NAME"), ("result", "RESULT"), ("reason", "REASON")], output)
    failed = tuple(f"{item.submission}: {item.reason}" for item in decided if item.error is not None)
    failed += tuple(f"{given}: {reason}" for given, reason in wrong.items())
    if failed:
        raise CliError(f"{len(failed)} of {len(rows)} submissions were not {word}.", details=failed)


def _found(rows: "QuerySet[_M]", ids: "Sequence[str]", what: str) -> "tuple[list[_M], dict[str, str]]":
    """What the ids name, each once, and why the others name nothing: one mistyped id keeps no other back."""
    found: dict[Any, _M] = {}
    wrong: dict[str, str] = {}
    for one in dict.fromkeys(ids):
        try:
            item = by_id(rows, one, what)
        except CliError as error:
            wrong[one] = f"{error.message} {error.advice}".strip()
        else:
            found[item.pk] = item
    return list(found.values()), wrong


@click.command()
@click.argument("attestation_ids", nargs=-1)
@click.option("--host", "hosts", multiple=True, help="Capture the latest boot of this host; may be repeated.")
@click.option("--name", default="", help="Name of the baseline, for a single attestation; host and date otherwise.")
@output_option
@on_node
def capture(
    actor: "Actor", attestation_ids: tuple[str, ...], hosts: tuple[str, ...], name: str, output: Format
) -> None:
    """Submit what hosts measured as new baselines, once for hosts that booted alike; each waits for approval."""
    from hgs.commands.capture import Captured, CaptureOutcome, capture_baselines
    from hgs.selectors import attestations
    from portal.kernel.errors import NotFound

    named, wrong = _found(attestations.attestations(actor), attestation_ids, "attestation")
    chosen = attestations.chosen(actor, [one.pk for one in named])
    for host in hosts:
        try:
            chosen += attestations.latest_of_hosts(actor, [host])
        except NotFound as error:
            wrong[host] = error.message
    if not chosen and not wrong:
        raise CliError("There is nothing to capture.", "Name attestations by id, or hosts with --host.")
    if name and len(chosen) + len(wrong) > 1:
        raise CliError("--name is for a single attestation.", "Leave it out: each baseline is named by host and date.")
    results = capture_baselines(actor, chosen, name)
    results += [Captured(CaptureOutcome.REFUSED, (given,), reason) for given, reason in wrong.items()]
    _show_captured(results, output)


def _show_captured(results: "Sequence[Captured]", output: Format) -> None:
    rows = [
        {
            "id": str(item.submission.id) if item.submission else None,
            "name": item.name,
            "hosts": list(item.hosts) if output == "json" else ", ".join(item.hosts),
            "result": item.outcome.value,
            "sentence": item.sentence,
        }
        for item in results
    ]
    columns = [("name", "BASELINE"), ("hosts", "HOSTS"), ("result", "RESULT"), ("sentence", "WHAT CAME OF IT")]
    show_rows(rows, columns, output)
    refused = tuple(f"{', '.join(item.hosts)}: {item.sentence}" for item in results if item.outcome.value == "refused")
    if refused:
        some = f"{len(refused)} of {len(results)} baselines were not captured."
        raise CliError("Nothing was captured." if len(refused) == len(results) else some, details=refused)


COMMANDS: Final[tuple[click.Command, ...]] = (approvals, approval, approve, reject, capture)
