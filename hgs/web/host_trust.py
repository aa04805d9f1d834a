"""Pages about the hosts that HGS knows, of each mode."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from hgs.commands.host_groups import add_host_group, remove_host_group
from hgs.commands.host_keys import add_host_key, remove_host_key
from hgs.commands.trust import remove_host
from hgs.selectors import host_trust, trust
from hgs.web.access import context, deed, page
from hgs.web.lists import one_of, page_of, uploaded
from portal.kernel.actor import Actor


@page
def list_hosts(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Hosts that may attest by their TPM, each with its last attestation."""
    return render(request, "hgs/hosts.html", context(actor, "hosts", page=page_of(request, trust.hosts(actor))))


@page
def list_host_groups(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Domain groups whose members may attest, and the members that did."""
    members = page_of(request, host_trust.domain_hosts(actor))
    values = context(actor, "hosts", groups=host_trust.host_groups(actor), page=members)
    return render(request, "hgs/host_groups.html", values)


@page
def list_host_keys(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Keys by which hosts are known."""
    found = page_of(request, host_trust.host_keys(actor))
    return render(request, "hgs/host_keys.html", context(actor, "hosts", page=found))


@deed("hgs:hosts")
def forget_host(_request: HttpRequest, actor: Actor, host_id: UUID) -> str:
    """Remove a host."""
    host = trust.host(actor, host_id)
    remove_host(actor, host)
    return f"Host {host.name} removed. It gets no more health certificates and no more keys."


@deed("hgs:host-groups")
def add_group(request: HttpRequest, actor: Actor) -> str:
    """Let the members of a domain group attest."""
    name = " ".join(request.POST.get("name", "").split())
    group, created = add_host_group(actor, name, request.POST.get("sid", "").strip())
    return f"Host group {group.name} {'added' if created else 'was known already'}."


@deed("hgs:host-groups")
def forget_group(_request: HttpRequest, actor: Actor, group_id: UUID) -> str:
    """Remove a domain group with the hosts that were seen in it."""
    group = one_of(host_trust.host_groups(actor), group_id, "host group")
    remove_host_group(actor, group)
    return f"Host group {group.name} removed. Its hosts get no more keys."


@deed("hgs:host-keys")
def add_key(request: HttpRequest, actor: Actor) -> str:
    """Let the holder of a host key attest."""
    key, created = add_host_key(actor, request.POST.get("name", "").strip(), uploaded(request, "file"))
    return f"Host key {key.name} {'added' if created else 'was known already'}."


@deed("hgs:host-keys")
def forget_key(_request: HttpRequest, actor: Actor, key_id: UUID) -> str:
    """Remove a host key."""
    key = one_of(host_trust.host_keys(actor), key_id, "host key")
    remove_host_key(actor, key)
    return f"Host key {key.name} removed. Its holder gets no more keys."
