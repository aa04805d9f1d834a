"""Who may do what at HGS: the whole table, so that a new action must be decided about here."""

import pytest

from hgs.policy import Action, may
from portal.kernel.actor import Actor, ActorKind, Role
from portal.kernel.policy import Denial

READING = {Action.READ, Action.READ_VERDICTS}
ALLOWED = {
    Role.HGS_ADMIN: set(Action),
    Role.HGS_REVIEWER: READING,
    Role.FABRIC_ADMIN: {Action.SUBMIT, Action.READ_VERDICTS},
    Role.TENANT: set(),
    Role.HOST: set(),
    Role.SYSTEM: set(),
}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(Action))
def test_each_role_may_do_what_the_table_says_and_nothing_else(role: Role, action: Action) -> None:
    decision = may(Actor(ActorKind.USER, "x", "x", frozenset({role})), action)
    assert bool(decision) is (action in ALLOWED[role])
    if isinstance(decision, Denial):
        assert decision.reason.endswith(".")
        assert decision.code == f"not-allowed-{action}"
