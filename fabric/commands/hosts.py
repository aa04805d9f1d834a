"""Registering hosts and asking them to attest."""

import re
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from fabric import host_tokens
from fabric.dispatch import tell_host
from fabric.models import Host
from fabric.policy import FabricAction, decide
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,253}[A-Za-z0-9])?")


def register_host(actor: Actor, *, name: str, address: str = "127.0.0.1") -> tuple[Host, str]:
    """Make a host known to the portal; returns it with its token, which is shown this once.

    Raises `Denied`, `Invalid` (name, address) and `Conflict` (`host-exists`).
    """
    require(decide(actor, FabricAction.REGISTER_HOST))
    _check(name, address)
    token = host_tokens.issue()
    with transaction.atomic():
        host, created = Host.objects.get_or_create(
            name=name,
            defaults={
                "address": address,
                "token_key_id": token.key_id,
                "token_hash": token.stored,
                "token_issued_at": timezone.now(),
            },
        )
        if not created:
            raise Conflict(
                "host-exists", f"A host named {name} is registered already.", "Renew its token if it was lost."
            )
        audit.record(
            actor, "host:registered", target_type="host", target_id=host.id, summary=f"Registered host {name}",
            scope="fabric", data={"address": address, "token_key_id": token.key_id},
        )  # fmt: skip
    return host, token.plain


def rotate_host_token(actor: Actor, *, host: Host) -> str:
    """Give the host a new token, shown this once; the old one stops working at once."""
    require(decide(actor, FabricAction.ROTATE_HOST_TOKEN))
    token = host_tokens.issue()
    with transaction.atomic():
        Host.objects.filter(pk=host.pk).update(
            token_key_id=token.key_id, token_hash=token.stored, token_issued_at=timezone.now()
        )
        audit.record(
            actor, "host:token-renewed", target_type="host", target_id=host.id,
            summary=f"Renewed the token of host {host.name}", scope="fabric", data={"token_key_id": token.key_id},
        )  # fmt: skip
    return token.plain


def ask_host_to_attest(actor: Actor, *, host: Host, reason: str, now: datetime) -> None:
    """Send the host a request to attest; what comes of it is HGS's answer, later."""
    require(decide(actor, FabricAction.ASK_HOST_TO_ATTEST))
    with transaction.atomic():
        Host.objects.filter(pk=host.pk).update(attestation_requested_at=now)
        audit.record(
            actor, "host:attestation-requested", target_type="host", target_id=host.id,
            summary=f"Asked host {host.name} to attest: {reason}", scope="fabric",
        )  # fmt: skip
        tell_host(host, "host.attest", {"reason": reason})


def _check(name: str, address: str) -> None:
    fields = {}
    if not _NAME.fullmatch(name):
        fields["name"] = "Use 1 to 63 small letters, digits and hyphens; begin and end with a letter or digit."
    if not _ADDRESS.fullmatch(address):
        fields["address"] = "Give a host name or an IP address."
    if fields:
        raise Invalid("host-invalid", next(iter(fields.values())), fields=fields)
