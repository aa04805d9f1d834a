"""``gf hgs``: the hosts of the modes without a TPM: domain groups, and host keys."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import by_name, on_node
from portal.cli.output import Format, output_option, show_rows

if TYPE_CHECKING:
    from hgs.models import SubmissionKind
    from portal.kernel.actor import Actor

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("host-group")
def host_group() -> None:
    """Active Directory mode: domain groups whose members may attest."""


@host_group.command("add")
@click.argument("name")
@click.argument("sid")
@on_node
def add_group(actor: "Actor", name: str, sid: str) -> None:
    """Let the members of a domain group attest; SID is the group's security identifier (S-1-5-21-…)."""
    from hgs.commands.host_groups import add_host_group
    from hgs.models import SubmissionKind

    group, created = add_host_group(actor, name, sid.strip())
    click.echo(f"Host group {group.name} ({group.sid}) {'added' if created else 'is known already'}.")
    _say_not_yet(SubmissionKind.HOST_GROUP)


@host_group.command("list")
@output_option
@on_node
def list_groups(actor: "Actor", output: Format) -> None:
    """List host groups, with how many hosts attested as their members."""
    from hgs.selectors.host_trust import host_groups

    rows = [
        {
            "id": str(group.id),
            "name": group.name,
            "sid": group.sid,
            "hosts": group.hosts.count(),
            "approved_by": group.approved_by,
        }
        for group in host_groups(actor)
    ]
    columns = [("name", "NAME"), ("sid", "SID"), ("hosts", "HOSTS"), ("approved_by", "APPROVED BY")]
    show_rows(rows, columns, output)


@host_group.command("hosts")
@output_option
@on_node
def list_domain_hosts(actor: "Actor", output: Format) -> None:
    """List the hosts that attested as members of a host group."""
    from hgs.selectors.host_trust import domain_hosts

    rows = [
        {
            "id": str(host.id),
            "name": host.name,
            "group": host.group.name,
            "sid": host.sid,
            "seen_at": host.seen_at.isoformat(timespec="seconds"),
        }
        for host in domain_hosts(actor)
    ]
    show_rows(rows, [("name", "NAME"), ("group", "GROUP"), ("seen_at", "LAST PASSED"), ("sid", "SID")], output)


@host_group.command("remove")
@click.argument("name")
@on_node
def remove_group(actor: "Actor", name: str) -> None:
    """Forget a group: its members get no more health certificates and no more keys, from now on."""
    from hgs.commands.host_groups import remove_host_group
    from hgs.selectors.host_trust import host_groups

    group = by_name(host_groups(actor), name, "host group")
    remove_host_group(actor, group)
    click.echo(f"Host group {group.name} removed.")


@click.group("host-key")
def host_key() -> None:
    """Host key mode: public keys by which hosts are known."""


@host_key.command("add")
@click.argument("name")
@click.argument("file", type=_FILE)
@on_node
def add_key(actor: "Actor", name: str, file: Path) -> None:
    """Let the holder of a key attest as NAME; FILE is a certificate (.cer) or public key, DER or PEM."""
    from hgs.artefacts import read_host_key
    from hgs.commands.host_keys import add_host_key
    from hgs.models import SubmissionKind

    content = file.read_bytes()
    key, created = add_host_key(actor, name, content)
    click.echo(f"Host key of {key.name} ({key.fingerprint}) {'added' if created else 'is known already'}.")
    for warning in read_host_key(content).warnings:
        click.echo(f"Warning: {warning}", err=True)
    _say_not_yet(SubmissionKind.HOST_KEY)


@host_key.command("list")
@output_option
@on_node
def list_keys(actor: "Actor", output: Format) -> None:
    """List host keys."""
    from hgs.selectors.host_trust import host_keys

    rows = [
        {
            "id": str(key.id),
            "name": key.name,
            "fingerprint": key.fingerprint,
            "approved_at": key.approved_at.isoformat(timespec="seconds"),
            "approved_by": key.approved_by,
        }
        for key in host_keys(actor)
    ]
    show_rows(rows, [("name", "NAME"), ("fingerprint", "KEY SHA-256"), ("approved_by", "APPROVED BY")], output)


@host_key.command("remove")
@click.argument("name")
@on_node
def remove_key(actor: "Actor", name: str) -> None:
    """Forget a host key: its holder gets no more health certificates and no more keys, from now on."""
    from hgs.commands.host_keys import remove_host_key
    from hgs.selectors.host_trust import host_keys

    key = by_name(host_keys(actor), name, "host key")
    remove_host_key(actor, key)
    click.echo(f"Host key of {key.name} removed.")


def _say_not_yet(kind: "SubmissionKind") -> None:
    from hgs.selectors.host_trust import not_yet

    for warning in not_yet(kind):
        click.echo(f"Warning: {warning}", err=True)


COMMANDS: Final[tuple[click.Command, ...]] = (host_group, host_key)
