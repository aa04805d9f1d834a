"""Built-in attestation policies, on and off."""

from django.db import transaction
from django.utils import timezone

from hgs.attestation.policies import PolicySet
from hgs.attestation.policies import PolicyState as BuiltInState
from hgs.models import PolicyState
from hgs.policy import Action, may
from hgs.selectors.policies import states, switchable
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.policy import require


def set_policy_enabled(actor: Actor, name: str, enabled: bool) -> str:
    """Switch a built-in policy on or off from the next attestation on; returns its exact name.

    Names are matched without regard to case. Where nothing changes there is no event. Raises NotFound for an unknown
    name, Conflict for a locked policy.
    """
    require(may(actor, Action.CHANGE_POLICIES))
    policy = switchable(name, enabled)
    with transaction.atomic():
        if enabled is (PolicySet(states=states()).state_of(policy) is not BuiltInState.DISABLED):
            return policy.name
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
