"""Networks and their address pools."""

import ipaddress
import re
from dataclasses import dataclass

from django.db import transaction

from fabric.models import Network
from fabric.policy import FabricAction, decide
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
SMALLEST_PREFIX = 16
LARGEST_PREFIX = 29


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """A network's addresses, checked against each other."""

    cidr: str
    gateway: str
    dns: str
    first_address: str
    last_address: str


def create_network(
    actor: Actor, *, name: str, cidr: str, description: str = "", gateway: str = "", dns: str = ""
) -> Network:
    """Add an IPv4 network. Left empty, the gateway is its first address and the name server its third.

    The pool begins at the tenth address (the fourth in a network of fewer than 32) and ends before broadcast.
    Raises `Denied`, `Invalid` (`network-invalid`, with fields) and `Conflict` (`network-exists`).
    """
    require(decide(actor, FabricAction.CREATE_NETWORK))
    if not _NAME.fullmatch(name):
        raise _invalid("name", "Use 1 to 63 small letters, digits and hyphens; begin and end with a letter or digit.")
    plan = plan_addresses(cidr, gateway, dns)
    with transaction.atomic():
        network, created = Network.objects.get_or_create(
            name=name,
            defaults={
                "description": description[:500],
                "cidr": plan.cidr,
                "gateway": plan.gateway,
                "dns": plan.dns,
                "first_address": plan.first_address,
                "last_address": plan.last_address,
            },
        )
        if not created:
            raise Conflict("network-exists", f"A network named {name} exists already.", "Choose another name.")
        audit.record(
            actor, "network:created", target_type="network", target_id=network.id, scope="fabric",
            summary=f"Created network {name} ({plan.cidr})", data={"cidr": plan.cidr},
        )  # fmt: skip
    return network


def plan_addresses(cidr: str, gateway: str = "", dns: str = "") -> AddressPlan:
    """Work out and check a network's addresses; raises `Invalid` naming the field."""
    network = _network(cidr)
    first = network.network_address + (10 if network.num_addresses >= 32 else 4)
    return AddressPlan(
        cidr=str(network),
        gateway=str(_member(network, "gateway", gateway) if gateway else network.network_address + 1),
        dns=str(_member(network, "dns", dns) if dns else network.network_address + 3),
        first_address=str(first),
        last_address=str(network.broadcast_address - 1),
    )


def _network(cidr: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(cidr.strip())
    except ValueError as error:
        raise _invalid("cidr", f"{cidr} is not an IPv4 network such as 10.20.0.0/24.") from error
    if not SMALLEST_PREFIX <= network.prefixlen <= LARGEST_PREFIX:
        raise _invalid("cidr", f"Use a prefix from /{SMALLEST_PREFIX} to /{LARGEST_PREFIX}.")
    if not network.is_private or network.is_loopback or network.is_link_local:
        raise _invalid("cidr", "Use a private range: 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16.")
    return network


def _member(network: ipaddress.IPv4Network, field: str, text: str) -> ipaddress.IPv4Address:
    try:
        address = ipaddress.IPv4Address(text.strip())
    except ValueError as error:
        raise _invalid(field, f"{text} is not an IPv4 address.") from error
    if address not in network or address in (network.network_address, network.broadcast_address):
        raise _invalid(field, f"{text} is not a usable address of {network}.")
    return address


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("network-invalid", message, fields={field: message})
