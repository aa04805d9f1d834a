"""Built-in attestation policies, on and off."""

from django.db import transaction
from django.utils import timezone

from hgs.attestation.policies import PolicyState as BuiltInState
from hgs.models import PolicyState
from hgs.policy import Action, may
from hgs.selectors.policies import builtin
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict
from portal.kernel.policy import require


def set_policy_enabled(actor: Actor, name: str, enabled: bool) -> str:
    """Switch a built-in policy on or off from the next attestation on; returns its exact name.

    Names are matched without regard to case. Raises NotFound for an unknown name, Conflict for a locked policy.
    """
    require(may(actor, Action.CHANGE_POLICIES))
    policy = builtin(name)
    if policy.default is BuiltInState.LOCKED and not enabled:
        raise Conflict("policy-locked", f"{policy.name} is locked: without it attestation would mean nothing.")
    with transaction.atomic():
        PolicyState.objects.update_or_create(
            name=policy.name,
            defaults={"is_enabled": enabled, "changed_at": timezone.now(), "changed_by": actor.name},
        )
        audit.record(
            actor,
            "policy:enabled" if enabled else "policy:disabled",
            target_type="policy",
            target_id=policy.name,
            summary=f"{policy.name} {'enabled' if enabled else 'disabled'}.",
        )
    return policy.name
