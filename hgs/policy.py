"""Who may do what at HGS: one table of role and action, one of role and submission state.

The fabric (its bearer token, and the portal's administrators behind it) submits and reads. Only an HGS administrator
changes what HGS trusts. The system itself may approve only where ``HGS_AUTO_APPROVE`` joins the two steps for a lab.
"""

from enum import StrEnum
from typing import Final

from hgs.models import Submission, SubmissionState
from portal.kernel.actor import Actor, Role
from portal.kernel.policy import Allowed, Decision, Denial


class Action(StrEnum):
    """Everything that a person or the fabric can ask of HGS."""

    SUBMIT = "submit"
    READ_VERDICTS = "read-verdicts"
    READ = "read"
    INITIALISE = "initialise"
    DECIDE = "decide"
    CHANGE_TRUST = "change-trust"
    CHANGE_POLICIES = "change-policies"
    CHANGE_MODE = "change-mode"
    MANAGE_KEYS = "manage-keys"
    MANAGE_ADMINISTRATORS = "manage-administrators"


_EVERYTHING: Final = frozenset(Action)
_TABLE: Final[dict[Role, frozenset[Action]]] = {
    Role.HGS_ADMIN: _EVERYTHING,
    Role.HGS_REVIEWER: frozenset({Action.READ, Action.READ_VERDICTS}),
    Role.FABRIC_ADMIN: frozenset({Action.SUBMIT, Action.READ_VERDICTS}),
}

_SENTENCES: Final[dict[Action, str]] = {
    Action.SUBMIT: "Only the fabric and HGS administrators submit to HGS.",
    Action.READ_VERDICTS: "Only the fabric and the people of HGS read its verdicts.",
    Action.READ: "Only HGS administrators and reviewers read this.",
    Action.INITIALISE: "Only an HGS administrator initialises HGS.",
    Action.DECIDE: "Only an HGS administrator approves or rejects what HGS shall trust.",
    Action.CHANGE_TRUST: "Only an HGS administrator changes what HGS trusts.",
    Action.CHANGE_POLICIES: "Only an HGS administrator changes attestation policies.",
    Action.CHANGE_MODE: "Only an HGS administrator changes the mode of HGS.",
    Action.MANAGE_KEYS: "Only an HGS administrator manages the keys of HGS.",
    Action.MANAGE_ADMINISTRATORS: "Only an HGS administrator manages the people of HGS.",
}


def may(actor: Actor, action: Action) -> Decision:
    """Whether ``actor`` may do ``action`` at all."""
    if any(action in _TABLE.get(role, frozenset()) for role in actor.roles):
        return Allowed()
    return Denial(_SENTENCES[action], f"not-allowed-{action}")


def may_decide(actor: Actor, submission: Submission, *, auto_approve: bool) -> Decision:
    """Whether ``actor`` may approve or reject this submission now."""
    lab = auto_approve and Role.SYSTEM in actor.roles
    permitted = Allowed() if lab else may(actor, Action.DECIDE)
    if isinstance(permitted, Denial):
        return permitted
    if submission.state != SubmissionState.PENDING:
        return Denial(
            f"This submission was already {submission.state}; decisions are final.",
            "submission-decided",
            because_of_state=True,
        )
    return permitted
