"""``gf evidence``: attestation evidence in files, explained and checked on any machine, without a service."""

import click

from hgs.cli.evidence.diff import diff
from hgs.cli.evidence.ek import ek
from hgs.cli.evidence.show import show
from hgs.cli.evidence.verify import verify


@click.group()
def evidence() -> None:
    """Explain and check boot logs, quotes and endorsement-key certificates (offline)."""


for _command in (show, verify, diff, ek):
    evidence.add_command(_command)
