"""Reads about VMs and subscriptions."""

from datetime import datetime, timedelta
from uuid import UUID

from django.core.exceptions import ValidationError

from portal.kernel.actor import Actor
from portal.kernel.errors import NotFound
from tenants.models import Subscription, VirtualMachine
from tenants.models.plan import SubscriptionQuerySet
from tenants.models.virtual_machine import VirtualMachineQuerySet

STALE_AFTER = timedelta(seconds=30)
"""A guest beats about every five seconds; after this long its state is shown with "as of"."""


def virtual_machines(actor: Actor) -> VirtualMachineQuerySet:
    """VMs the actor may see, with everything a list shows."""
    return VirtualMachine.objects.visible_to(actor).select_related(
        "subscription__plan", "shielding_data", "template", "network", "placement__host"
    )


def subscriptions(actor: Actor) -> SubscriptionQuerySet:
    """The actor's subscriptions with their plans."""
    return Subscription.objects.visible_to(actor).select_related("plan")


def subscription_for(actor: Actor, subscription_id: str | UUID | None) -> Subscription:
    """The named subscription, or the actor's first; raises `NotFound` (`no-subscription`)."""
    found = subscriptions(actor)
    try:
        subscription = found.filter(pk=subscription_id).first() if subscription_id else found.first()
    except ValidationError:  # not even a UUID
        subscription = None
    if subscription is None:
        raise NotFound("no-subscription", "You have no such subscription.", "Ask the fabric administrator for one.")
    return subscription


def heartbeat_is_stale(vm: VirtualMachine, now: datetime) -> bool:
    """Whether a running VM has not been heard of lately."""
    placement = vm.placement
    beat = placement.last_heartbeat_at if placement else None
    return beat is None or now - beat > STALE_AFTER
