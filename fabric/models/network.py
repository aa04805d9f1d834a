"""Networks of the fabric and their address pools."""

import ipaddress
from collections.abc import Iterator
from typing import Self

from django.db import models

from portal.kernel.actor import Actor, Role
from portal.kernel.ids import new_id


class NetworkQuerySet(models.QuerySet["Network"]):
    """Every signed-in tenant may use every network; plans will narrow this."""

    def visible_to(self, actor: Actor) -> Self:
        """All networks for tenants, fabric administrators and the system."""
        if actor.roles & {Role.FABRIC_ADMIN, Role.SYSTEM, Role.TENANT}:
            return self
        return self.none()


class Network(models.Model):
    """An IPv4 network. Addresses come from the range `first_address` to `last_address`, both included."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=63, unique=True)
    description = models.CharField(max_length=500, blank=True)
    cidr = models.CharField(max_length=18, help_text="For example 10.20.0.0/24.")
    gateway = models.GenericIPAddressField(protocol="IPv4")
    dns = models.GenericIPAddressField(protocol="IPv4")
    first_address = models.GenericIPAddressField(protocol="IPv4")
    last_address = models.GenericIPAddressField(protocol="IPv4")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NetworkQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def pool_size(self) -> int:
        """How many addresses the pool holds, used or not."""
        return int(ipaddress.IPv4Address(self.last_address)) - int(ipaddress.IPv4Address(self.first_address)) + 1

    @property
    def prefix_length(self) -> int:
        """The network's prefix length in bits."""
        return ipaddress.IPv4Network(self.cidr).prefixlen

    def pool(self) -> Iterator[str]:
        """Each address of the pool in order, without the gateway and the name server."""
        first, last = int(ipaddress.IPv4Address(self.first_address)), int(ipaddress.IPv4Address(self.last_address))
        kept = {self.gateway, self.dns}
        for number in range(first, last + 1):
            address = str(ipaddress.IPv4Address(number))
            if address not in kept:
                yield address
