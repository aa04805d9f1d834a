"""Reserving what a VM needs of the fabric, and giving it back."""

import random
from collections.abc import Mapping
from uuid import UUID

from django.conf import settings
from django.db import transaction

from fabric.library import drop_if_unused
from fabric.models import LibraryBlob, Network, Placement, TemplateDisk
from portal.kernel.errors import Conflict


def reserve(
    vm_id: UUID,
    *,
    name: str,
    owner: str,
    template: TemplateDisk,
    shielding_data: LibraryBlob,
    network: Network,
    vcpus: int,
    memory_mib: int,
    specialization: Mapping[str, str],
) -> Placement:
    """Reserve an address of the network and an access port for a VM, inside the caller's transaction.

    Raises `Conflict` with `network-full` or `ports-exhausted`.
    """
    Network.objects.select_for_update().get(pk=network.pk)
    address = _free_address(network)
    values = {**specialization, **_network_values(network, address)}
    return Placement.objects.create(
        id=vm_id, name=name, owner=owner, template=template, shielding_data=shielding_data, network=network,
        address=address, access_port=_free_port(), vcpus=vcpus, memory_mib=memory_mib, specialization=values,
    )  # fmt: skip


def release(vm_id: UUID) -> None:
    """Give a VM's address and port back; its host may no longer fetch its files.

    A shielding data file that was replaced while the VM stood is needed by nobody after that.
    """
    placement = Placement.objects.filter(pk=vm_id).first()
    if placement is not None:
        blob_id = placement.shielding_data_id
        placement.delete()
        transaction.on_commit(lambda: drop_if_unused(blob_id))


def _free_address(network: Network) -> str:
    taken = set(Placement.objects.filter(network=network).values_list("address", flat=True))
    for address in network.pool():
        if address not in taken:
            return address
    raise Conflict(
        "network-full",
        f"Network {network.name} has no free address: all {len(taken)} are in use.",
        "Choose another network, or remove a VM that is no longer needed.",
    )


def _free_port() -> int:
    """Any free one: a retry, after a stranger's program was found on a port of the host, then gets another."""
    taken = set(Placement.objects.values_list("access_port", flat=True))
    free = [port for port in range(settings.ACCESS_PORT_FIRST, settings.ACCESS_PORT_LAST + 1) if port not in taken]
    if not free:
        raise Conflict("ports-exhausted", "No access port is free for another VM.", "Ask the fabric administrator.")
    return random.choice(free)  # noqa: S311 - nothing secret about a port


def _network_values(network: Network, address: str) -> dict[str, str]:
    """Specialization values of the first network card, by placeholder. The prefix is that of the default route."""
    return {
        "@Prefix-1-1@": "0.0.0.0/0",
        "@IP4Addr-1@": f"{address}/{network.prefix_length}",
        "@NextHop-1-1@": network.gateway,
        "@DnsAddr-1-1@": network.dns,
    }
