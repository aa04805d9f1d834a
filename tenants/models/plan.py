"""Plans set quotas; a subscription is one tenant's use of a plan."""

from typing import Self

from django.conf import settings
from django.db import models

from portal.kernel.actor import Actor, Role
from portal.kernel.ids import new_id


class Plan(models.Model):
    """What a subscriber may use. Every quota counts all VMs of one subscription, running or not."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=63, unique=True)
    description = models.CharField(max_length=500, blank=True)
    quota_vms = models.PositiveIntegerField()
    quota_vcpus = models.PositiveIntegerField()
    quota_memory_mib = models.PositiveIntegerField()
    vm_vcpus = models.PositiveIntegerField(default=1, help_text="Processors of a VM unless the tenant asks otherwise.")
    vm_memory_mib = models.PositiveIntegerField(default=512, help_text="Memory of a VM unless asked otherwise.")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class SubscriptionState(models.TextChoices):
    """A suspended subscription keeps what it has and makes nothing new."""

    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    """A subscription is seen by its owner."""

    def visible_to(self, actor: Actor) -> Self:
        """The actor's own subscriptions; all for the system."""
        if Role.SYSTEM in actor.roles:
            return self
        if Role.TENANT in actor.roles:
            return self.filter(owner_id=actor.id)
        return self.none()


class Subscription(models.Model):
    """One tenant's contract: everything a tenant owns belongs to a subscription."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=63)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    state = models.CharField(max_length=16, choices=SubscriptionState, default=SubscriptionState.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="tenants_subscription_name_unique")]

    def __str__(self) -> str:
        return self.name
