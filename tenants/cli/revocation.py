"""`gf key-protector send-notice`: an owner's revocation notice to HGS, over the portal's REST API."""

from __future__ import annotations

from pathlib import Path

import click

from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.revocation import NOTICE_MAX, parse_notice
from portal.cli.output import Format, output_option, show_record
from portal.cli.rest import RestClient
from tenants.cli.files import read_limited
from tenants.cli.owner import EXISTING

REVOCATIONS = "/api/v1/key-account/revocations/"
_FIELDS = [("owner", "Owner"), ("named", "Protectors named"), ("revoked", "Newly refused")]


@click.command("send-notice")
@click.argument("notice", type=EXISTING)
@output_option
def send_notice(notice: Path, output: Format) -> None:
    """Have HGS refuse the key protectors of a NOTICE that gf key-protector revoke wrote. This cannot be taken back.

    Needs the portal, and no key. Send it after the virtual machine has started once with its new key protector: no
    older link of the machine's chain opens any more.
    """
    parse_notice(read_limited(notice, NOTICE_MAX))
    with RestClient() as rest:
        found = rest.upload(REVOCATIONS, {"file": notice})
    shown = found if output == "json" else found | {"owner": grouped(str(found["owner"]))}
    show_record(shown, _FIELDS, output)
