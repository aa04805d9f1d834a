"""``gf hgs``: what HGS trusts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hgs.cli.node import by_id, by_name, on_node
from portal.cli.output import Format, output_option, show_rows

if TYPE_CHECKING:
    from hgs.models import Baseline, CiPolicy
    from portal.kernel.actor import Actor

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("kind", type=click.Choice(["host", "baseline", "ci-policy"]))
@click.argument("name")
@click.argument("file", type=_FILE)
@on_node
def submit(actor: "Actor", kind: str, name: str, file: Path) -> None:
    """Submit a file by hand, as the fabric does; it waits for approval like any other."""
    from hgs.commands.submissions import submit as submit_content

    submission, _ = submit_content(actor, kind, name, file.read_bytes())
    click.echo(f"{submission.id}  {submission}: {submission.state}. {submission.reason}".rstrip())


@click.group("tpm-root")
def tpm_root() -> None:
    """TPM makers whose endorsement key certificates HGS believes."""


@tpm_root.command("add")
@click.argument("file", type=_FILE)
@click.option("--name", default="", help="What to call it; its subject by default.")
@on_node
def add_root(actor: "Actor", file: Path, name: str) -> None:
    """Trust the CA certificates in a file (one DER, or any number in PEM)."""
    from hgs.commands.trust import add_tpm_root

    for root in add_tpm_root(actor, name, file.read_bytes()):
        click.echo(f"{'Root' if root.is_root else 'Intermediate'} {root.name} trusted ({root.fingerprint[:16]}…).")


@tpm_root.command("list")
@output_option
@on_node
def list_roots(actor: "Actor", output: Format) -> None:
    """List trusted TPM makers' certificates."""
    from hgs.selectors.trust import tpm_roots

    rows = [
        {"id": str(root.id), "name": root.name, "root": root.is_root, "fingerprint": root.fingerprint}
        for root in tpm_roots(actor)
    ]
    show_rows(rows, [("name", "NAME"), ("root", "ROOT"), ("fingerprint", "SHA-256"), ("id", "ID")], output)


@tpm_root.command("remove")
@click.argument("root_id")
@on_node
def remove_root(actor: "Actor", root_id: str) -> None:
    """Stop trusting a TPM maker's certificate."""
    from hgs.commands.trust import remove_tpm_root
    from hgs.selectors.trust import tpm_roots

    root = by_id(tpm_roots(actor), root_id, "TPM certificate")
    remove_tpm_root(actor, root)
    click.echo(f"{root.name} is no longer trusted.")


@click.group()
def hosts() -> None:
    """Hosts whose TPM HGS knows."""


@hosts.command("list")
@output_option
@on_node
def list_hosts(actor: "Actor", output: Format) -> None:
    """List hosts with their last attestation."""
    from hgs.selectors import trust

    rows = [
        {
            "id": str(host.id),
            "name": host.name,
            "ek_hash": host.ek_hash,
            "last_status": host.last_status,
            "last_at": host.last_at and host.last_at.isoformat(timespec="seconds"),
            "approved_by": host.approved_by,
        }
        for host in trust.hosts(actor)
    ]
    columns = [("name", "NAME"), ("last_status", "LAST ATTESTATION"), ("last_at", "AT"), ("ek_hash", "EK SHA-256")]
    show_rows(rows, columns, output)


@hosts.command("remove")
@click.argument("name")
@on_node
def remove_host(actor: "Actor", name: str) -> None:
    """Forget a host: no more health certificates, no more keys, from now on."""
    from hgs.commands import trust as commands
    from hgs.selectors import trust

    host = by_name(trust.known_hosts(actor), name, "host")
    commands.remove_host(actor, host)
    click.echo(f"Host {host.name} removed.")


def _artefact_rows(found: "list[Baseline] | list[CiPolicy]") -> list[dict[str, Any]]:
    return [
        {
            "id": str(item.id),
            "name": item.name,
            "enabled": item.is_enabled,
            "digest": item.digest,
            "approved_by": item.approved_by,
            "facts": item.facts,
        }
        for item in found
    ]


_ARTEFACT_COLUMNS: Final = [
    ("name", "NAME"),
    ("enabled", "ENABLED"),
    ("digest", "SHA-256"),
    ("approved_by", "APPROVED BY"),
]


@click.group()
def baselines() -> None:
    """Baselines: the measured boot of a class of hardware."""


@baselines.command("list")
@output_option
@on_node
def list_baselines(actor: "Actor", output: Format) -> None:
    """List baselines."""
    from hgs.selectors import trust

    show_rows(_artefact_rows(list(trust.baselines(actor))), _ARTEFACT_COLUMNS, output)


@click.group("ci-policies")
def ci_policies() -> None:
    """Code integrity policies that hosts may run."""


@ci_policies.command("list")
@output_option
@on_node
def list_ci_policies(actor: "Actor", output: Format) -> None:
    """List code integrity policies."""
    from hgs.selectors import trust

    show_rows(_artefact_rows(list(trust.ci_policies(actor))), _ARTEFACT_COLUMNS, output)


def _switch_baseline(actor: "Actor", name: str, enabled: bool) -> None:
    from hgs.commands.trust import set_artefact_enabled
    from hgs.selectors import trust

    set_artefact_enabled(actor, by_name(trust.baselines(actor), name, "baseline"), enabled)
    click.echo(f"Baseline {name} {'enabled' if enabled else 'disabled'}.")


def _switch_ci_policy(actor: "Actor", name: str, enabled: bool) -> None:
    from hgs.commands.trust import set_artefact_enabled
    from hgs.selectors import trust

    set_artefact_enabled(actor, by_name(trust.ci_policies(actor), name, "CI policy"), enabled)
    click.echo(f"CI policy {name} {'enabled' if enabled else 'disabled'}.")


def _switch_policy(actor: "Actor", name: str, enabled: bool) -> None:
    from hgs.commands.policies import set_policy_enabled

    changed = set_policy_enabled(actor, name, enabled)
    click.echo(f"{changed} {'enabled' if enabled else 'disabled'}. It counts from the next attestation on.")


@click.group(invoke_without_command=True)
@output_option
@click.pass_context
def policies(context: click.Context, output: Format) -> None:
    """Built-in attestation policies; without a command, list them."""
    if context.invoked_subcommand is None:
        _list_policies(output)


@on_node
def _list_policies(actor: "Actor", output: Format) -> None:
    from hgs.selectors import policies as selectors

    rows = [
        {"name": item.name, "state": item.state, "meaning": item.meaning, "changed_by": item.changed_by}
        for item in selectors.policies(actor)
    ]
    show_rows(rows, [("name", "POLICY"), ("state", "STATE"), ("meaning", "MEANING")], output)


def _add_switches(group: click.Group, switch: Any, what: str) -> None:
    """``enable NAME`` and ``disable NAME`` for a group."""
    for word, enabled in (("enable", True), ("disable", False)):

        def run(actor: "Actor", name: str, enabled: bool = enabled) -> None:
            switch(actor, name, enabled)

        run.__doc__ = f"{word.capitalize()} a {what}, from the next attestation on."
        group.command(word)(click.argument("name")(on_node(run)))


_add_switches(baselines, _switch_baseline, "baseline")
_add_switches(ci_policies, _switch_ci_policy, "CI policy")
_add_switches(policies, _switch_policy, "policy")

COMMANDS: Final[tuple[click.Command, ...]] = (
    submit,
    tpm_root,
    hosts,
    baselines,
    ci_policies,
    policies,
)
