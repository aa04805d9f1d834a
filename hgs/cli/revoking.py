"""``gf hgs revoke``: a revocation notice that an owner brought to the HGS administrator."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hgs.cli.node import on_node
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record

if TYPE_CHECKING:
    from portal.kernel.actor import Actor

_FIELDS: Final = [("owner", "Owner"), ("made_at", "Made"), ("named", "Protectors named"), ("revoked", "Newly refused")]


@click.command()
@click.argument("notice", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@output_option
@on_node
def revoke(actor: "Actor", notice: Path, output: Format) -> None:
    """Refuse the key protectors of an owner's NOTICE from now on, on every node. This cannot be taken back.

    The owner's signature in the notice is what counts, whoever brings it; it touches that owner's protectors alone.
    """
    from django.utils import timezone

    from hgs.commands.revocations import revoke_protectors
    from hgs.keyprotection.certificates import grouped
    from hgs.keyprotection.revocation import NOTICE_MAX, parse_notice

    with notice.open("rb") as file:
        document = file.read(NOTICE_MAX + 1)
    if len(document) > NOTICE_MAX:
        raise CliError(f"{notice} has more than {NOTICE_MAX // 1024} KiB.", "Check that it is the right file.")
    new = revoke_protectors(actor, document, timezone.now())
    parsed = parse_notice(document)
    record = {
        "owner": parsed.owner_fingerprint if output == "json" else grouped(parsed.owner_fingerprint),
        "made_at": parsed.made_at.isoformat(),
        "named": len(parsed.protector_ids),
        "revoked": new,
    }
    show_record(record, _FIELDS, output)


COMMANDS: Final[tuple[click.Command, ...]] = (revoke,)
