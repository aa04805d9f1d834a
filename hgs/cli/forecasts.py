"""Forecasts on the terminal: a line for each host, and why."""

from typing import TYPE_CHECKING, Any

import click

from portal.cli.output import Format, show_record, show_rows

if TYPE_CHECKING:
    from hgs.selectors.dry_run import ModeForecast
    from hgs.selectors.policy_dry_run import PolicyForecast
    from hgs.selectors.stored_boots import HostForecast


def show_mode_forecast(forecast: "ModeForecast", output: Format) -> None:
    """Every known host in another mode."""
    rows = [_host(host, output) | {"advice": host.advice} for host in forecast.hosts]
    columns = [("name", "HOST"), ("expectation", "EXPECTATION"), ("evidence_at", "JUDGED BY EVIDENCE OF")]
    show_rows(rows, [*columns, ("reasons", "WHY"), ("advice", "WHAT TO DO")], output)
    if output == "table":
        counts = ", ".join(
            f"{sum(host.expectation.value == word for host in forecast.hosts)} {text}"
            for word, text in (("passes", "would pass"), ("fails", "would not"), ("unknown", "cannot be judged"))
        )
        click.echo(
            f"\n{forecast.mode.label} mode, as of {forecast.at:%Y-%m-%d %H:%M} UTC: {counts}. Nothing was changed."
        )


def show_policy_forecast(forecast: "PolicyForecast", output: Format) -> None:
    """The TPM hosts that a change of the policies would make fare otherwise."""
    rows = [
        _host(change.after, output)
        | {"before": change.before.expectation.value, "reasons_before": change.before.reasons}
        for change in forecast.changes
    ]
    if output == "json":
        show_record({"judged": forecast.judged, "changes": rows, "unknown": list(forecast.unknown)}, [], output)
        return
    columns = [("name", "HOST"), ("before", "BEFORE"), ("expectation", "AFTER"), ("reasons", "WHY")]
    if rows:
        show_rows(rows, columns, output)
        click.echo()
    click.echo(f"{len(rows)} of {forecast.judged} hosts would fare otherwise. Nothing was changed.")
    if forecast.unknown:
        click.echo(f"Without evidence to judge by: {', '.join(forecast.unknown)}")


def _host(host: "HostForecast", output: Format) -> dict[str, Any]:
    return {
        "name": host.name,
        "expectation": host.expectation.value,
        "reasons": list(host.reasons) if output == "json" else " ".join(host.reasons),
        "evidence_id": str(host.evidence_id) if host.evidence_id else None,
        "evidence_at": host.evidence_at.isoformat(timespec="seconds") if host.evidence_at else None,
    }
