"""`gf pdk`: shielding data files, made, looked at and changed offline."""

from __future__ import annotations

import click

from tenants.cli.pdk.changing import change
from tenants.cli.pdk.creating import new
from tenants.cli.pdk.showing import inspect, test
from tenants.cli.pdk_page import page


@click.group()
def pdk() -> None:
    """Shielding data files: the secrets of new shielded virtual machines, sealed to the guardians you trust."""


for _command in (new, inspect, test, change, page):
    pdk.add_command(_command)
