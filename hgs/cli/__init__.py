"""``gf hgs``: administering the Host Guardian Service, on the HGS node itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hgs.cli import (
    approving,
    artefacts,
    host_trust,
    key,
    key_log,
    mode,
    offline_starts,
    people,
    policies,
    records,
    revoking,
    rewrap,
    signer,
    state,
    trace,
    trusting,
)
from hgs.cli.mode import mode_options
from hgs.cli.node import on_node
from portal.cli.output import Format, output_option, show_record, show_rows

if TYPE_CHECKING:
    from portal.kernel.actor import Actor


@click.group()
def hgs() -> None:
    """Administer the Host Guardian Service (run on the HGS node)."""


@hgs.command()
@mode_options
@click.option("--name", default="HGS", show_default=True, help="Name of the guardian, as tenants see it.")
@click.option(
    "--key-size",
    type=click.Choice(["2048", "3072", "4096"]),
    default="3072",
    show_default=True,
    help="Bits of the guardian's RSA keys. A release with 2048 takes a fifth of the time of one with 4096.",
)
@click.option("--if-needed", is_flag=True, help="Succeed without a change where HGS is initialised already.")
@output_option
@on_node
def init(actor: "Actor", mode: int, name: str, key_size: str, if_needed: bool, output: Format) -> None:
    """Initialise this HGS with fresh keys. An HGS that is initialised keeps its keys, and this fails."""
    from django.core.management import call_command

    from hgs.commands.initialise import initialise
    from hgs.models import OperationMode, ServiceConfiguration

    call_command("migrate", interactive=False, verbosity=0)
    if not (if_needed and ServiceConfiguration.objects.exists()):
        initialise(actor, mode=OperationMode(mode), name=name, key_size=int(key_size))
    _show(actor, output)


@hgs.command()
@output_option
@on_node
def show(actor: "Actor", output: Format) -> None:
    """Show what this HGS is: mode, fingerprints, counts."""
    _show(actor, output)


def _show(actor: "Actor", output: Format) -> None:
    from dataclasses import asdict

    from hgs.keyprotection.certificates import grouped
    from hgs.selectors.overview import service

    found = service(actor)
    record = asdict(found) | {"initialised_at": found.initialised_at and found.initialised_at.isoformat()}
    fields = [
        ("name", "Name"),
        ("mode", "Mode"),
        ("functional_level", "Functional level"),
        ("initialised_at", "Initialised"),
        ("communications_fingerprint", "Communications certificate"),
        ("signing_fingerprint", "Guardian signing certificate"),
        ("encryption_fingerprint", "Guardian encryption certificate"),
        ("auto_approve", "Automatic approval"),
    ]
    if output == "table":
        record |= {key: grouped(str(record[key])) for key, _ in fields if key.endswith("_fingerprint")}
        record |= found.counts.__dict__
        fields += [("pending", "Waiting for approval"), ("hosts", "Hosts"), ("baselines", "Baselines")]
        fields += [("ci_policies", "CI policies")]
    show_record(record, fields, output)


@hgs.command()
@click.option("-o", "--out", "path", type=click.Path(path_type=Path, dir_okay=False), required=True)
@on_node
def metadata(actor: "Actor", path: Path) -> None:
    """Write the guardian metadata that tenants import to a file."""
    from hgs.keyprotection.certificates import grouped
    from hgs.selectors.keys import guardian_metadata
    from hgs.selectors.overview import service

    path.write_bytes(guardian_metadata())
    click.echo(f"Guardian metadata written to {path}.")
    click.echo(f"Communications certificate: {grouped(service(actor).communications_fingerprint)}")


@hgs.command()
@output_option
@on_node
def certificates(actor: "Actor", output: Format) -> None:
    """List the certificates of this HGS."""
    from hgs.selectors import keys

    rows = [
        {
            "purpose": item.purpose,
            "subject": item.subject,
            "key": f"RSA {item.key_bits}",
            "not_after": item.not_after.isoformat(),
            "primary": item.is_primary,
            "enabled": item.is_enabled,
            "fingerprint": item.fingerprint,
        }
        for item in keys.certificates(actor)
    ]
    columns = [("purpose", "PURPOSE"), ("key", "KEY"), ("primary", "PRIMARY"), ("enabled", "ENABLED")]
    show_rows(rows, [*columns, ("not_after", "VALID UNTIL"), ("fingerprint", "SHA-256")], output)


_MODULES: Final = (
    approving, trusting, host_trust, artefacts, policies, records, revoking, key_log, mode, people, key, signer, rewrap,
    state, offline_starts, trace,
)  # fmt: skip
for _module in _MODULES:
    for _command in _module.COMMANDS:
        hgs.add_command(_command)
