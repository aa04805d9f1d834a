"""The built-in policies with the state that an administrator gave them."""

from dataclasses import dataclass

from hgs.attestation.policies import BUILT_IN_POLICIES, BuiltInPolicy, PolicySet, PolicyState, built_in_policy
from hgs.models import PolicyState as StoredState
from hgs.policy import Action, may
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, NotFound
from portal.kernel.policy import require


@dataclass(frozen=True)
class PolicyView:
    """A built-in policy as people see it. ``state`` is ``enabled``, ``disabled`` or ``locked``."""

    name: str
    meaning: str
    state: str
    changed_by: str

    @property
    def is_changed(self) -> bool:
        """Whether an administrator decided about it."""
        return bool(self.changed_by)


def states() -> dict[str, PolicyState]:
    """What administrators decided, for the attestation core: policy name to state."""
    return {
        name: PolicyState.ENABLED if enabled else PolicyState.DISABLED
        for name, enabled in StoredState.objects.values_list("name", "is_enabled")
    }


def builtin(name: str) -> BuiltInPolicy:
    """The policy of that name, whatever its case. Raises NotFound."""
    found = built_in_policy(name)
    if found is None:
        raise NotFound("no-such-policy", f"There is no policy named {name[:64]}.", "List them with gf hgs policies.")
    return found


def switchable(name: str, enabled: bool) -> BuiltInPolicy:
    """The policy of that name, if it may be switched so. Raises NotFound; Conflict for a locked policy."""
    policy = builtin(name)
    if policy.default is PolicyState.LOCKED and not enabled:
        raise Conflict("policy-locked", f"{policy.name} is locked: without it attestation would mean nothing.")
    return policy


def policies(actor: Actor) -> list[PolicyView]:
    """Every built-in policy in the specification's order."""
    require(may(actor, Action.READ))
    changed = dict(StoredState.objects.values_list("name", "changed_by"))
    in_force = PolicySet(states=states())
    return [
        PolicyView(policy.name, policy.meaning, in_force.state_of(policy).value, changed.get(policy.name, ""))
        for policy in BUILT_IN_POLICIES
    ]
