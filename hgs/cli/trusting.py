"""``gf hgs``: what HGS trusts."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import by_id, by_name, on_node
from hgs.cli.versions import version_option
from portal.cli.output import Format, output_option, show_rows

if TYPE_CHECKING:
    from portal.kernel.actor import Actor

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("kind", type=click.Choice(["host", "host-key", "host-group", "baseline", "ci-policy"]))
@click.argument("name")
@click.argument("file", type=_FILE)
@version_option
@on_node
def submit(actor: "Actor", kind: str, name: str, file: Path, version: int | None) -> None:
    """Submit a file by hand, as the fabric does; it waits for approval like any other."""
    from hgs.commands.submissions import submit as submit_content
    from hgs.models import PolicyVersion

    submission, _ = submit_content(actor, kind, name, file.read_bytes(), version=PolicyVersion(version or 2))
    click.echo(f"{submission.id}  {submission}: {submission.state}. {submission.reason}".rstrip())


@click.group("tpm-root")
def tpm_root() -> None:
    """TPM makers whose endorsement key certificates HGS believes."""


@tpm_root.command("add")
@click.argument("file", type=_FILE)
@click.option("--name", default="", help="What to call it; its subject by default.")
@click.option("--root", "as_root", is_flag=True, help="Trust begins here, though another authority signed it.")
@on_node
def add_root(actor: "Actor", file: Path, name: str, as_root: bool) -> None:
    """Trust the CA certificates in a file (one DER, or any number in PEM).

    Self-signed ones become roots, others intermediates, which only help to reach a root. Some makers' roots were
    signed by another authority: add those with --root.
    """
    from hgs.commands.trust import add_tpm_root

    for root in add_tpm_root(actor, name, file.read_bytes(), as_root=as_root):
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
            "policy_version": f"v{host.policy_version}",
            "last_status": host.last_status,
            "last_at": host.last_at and host.last_at.isoformat(timespec="seconds"),
            "approved_by": host.approved_by,
        }
        for host in trust.hosts(actor)
    ]
    columns = [("name", "NAME"), ("policy_version", "VERSION"), ("last_status", "LAST ATTESTATION"), ("last_at", "AT")]
    show_rows(rows, [*columns, ("ek_hash", "EK SHA-256")], output)


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


COMMANDS: Final[tuple[click.Command, ...]] = (submit, tpm_root, hosts)
