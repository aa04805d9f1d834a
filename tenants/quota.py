"""Quotas: what a subscription's VMs take, what its plan allows, and the sentence that says both."""

from dataclasses import dataclass

from django.db.models import Count, Sum

from portal.kernel.errors import Conflict
from tenants.models import Subscription


@dataclass(frozen=True, slots=True)
class Usage:
    """One quota of a plan and how much of it is used, in the unit `unit`."""

    name: str
    unit: str
    used: int
    limit: int

    @property
    def left(self) -> int:
        """What is left, never below zero."""
        return max(0, self.limit - self.used)

    @property
    def percent(self) -> int:
        """The used share in percent, at most 100."""
        return min(100, 100 * self.used // self.limit) if self.limit else 100


def usage_of(subscription: Subscription) -> tuple[Usage, Usage, Usage]:
    """VMs, processors and memory; every VM counts until it is removed."""
    sums = subscription.virtual_machines.aggregate(
        vms=Count("id"), vcpus=Sum("vcpus", default=0), memory=Sum("memory_mib", default=0)
    )
    plan = subscription.plan
    return (
        Usage("virtual machines", "", int(sums["vms"] or 0), plan.quota_vms),
        Usage("processors", "", int(sums["vcpus"] or 0), plan.quota_vcpus),
        Usage("memory", "MiB", int(sums["memory"] or 0), plan.quota_memory_mib),
    )


def require_quota(subscription: Subscription, *, vcpus: int, memory_mib: int) -> None:
    """Raises `Conflict` (`quota-exceeded`) with what is needed, left and allowed, in one sentence."""
    for usage, need in zip(usage_of(subscription), (1, vcpus, memory_mib), strict=True):
        if need > usage.left:
            unit = f" {usage.unit}" if usage.unit else ""
            raise Conflict(
                "quota-exceeded",
                f"This needs {need}{unit} of {usage.name}, {usage.left}{unit} are left of {usage.limit}{unit} "
                f"in plan {subscription.plan.name}.",
                "Remove a virtual machine that is no longer needed, or ask for a larger plan.",
                details={"quota": usage.name, "need": need, "left": usage.left, "limit": usage.limit},
            )
