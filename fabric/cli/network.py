"""`gf network`: networks of the fabric, over the portal's REST API."""

from __future__ import annotations

import click

from portal.cli.output import Format, output_option, show_record, show_rows
from portal.cli.rest import RestClient

NETWORKS = "/api/v1/networks/"
_COLUMNS = (("name", "NAME"), ("cidr", "RANGE"), ("gateway", "GATEWAY"), ("used", "USED"), ("pool_size", "POOL"))
_FIELDS = (("name", "Name"), ("id", "Id"), ("cidr", "Range"), ("gateway", "Gateway"), ("dns", "Name server"))


@click.group()
def network() -> None:
    """Networks of the fabric."""


@network.command(name="list")
@output_option
def list_(output: Format) -> None:
    """List the networks you may use."""
    with RestClient() as rest:
        show_rows(list(rest.items(NETWORKS)), _COLUMNS, output)


@network.command()
@click.argument("name")
@click.argument("cidr")
@click.option("--gateway", default="", help="The first address otherwise.")
@click.option("--dns", default="", help="The third address otherwise.")
@click.option("--description", default="", help="What it is for.")
@output_option
def create(name: str, cidr: str, gateway: str, dns: str, description: str, output: Format) -> None:
    """Create the network NAME over the private range CIDR (fabric administrators)."""
    body = {"name": name, "cidr": cidr, "gateway": gateway, "dns": dns, "description": description}
    with RestClient() as rest:
        show_record(rest.post(NETWORKS, body), _FIELDS, output)
