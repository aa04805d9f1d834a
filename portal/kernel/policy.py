"""Decisions: a policy answers Allowed or a Denial with its reason, never a bare boolean."""

from dataclasses import dataclass

from portal.kernel.errors import Conflict, Denied


@dataclass(frozen=True, slots=True)
class Allowed:
    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Denial:
    """`because_of_state` tells a state that may change (409) from a right that is missing (403)."""

    reason: str
    code: str = "denied"
    advice: str = ""
    because_of_state: bool = False

    def __bool__(self) -> bool:
        return False


Decision = Allowed | Denial


def require(decision: Decision) -> None:
    """Raises Denied or Conflict with the decision's reason unless it allows."""
    if isinstance(decision, Denial):
        error = Conflict if decision.because_of_state else Denied
        raise error(decision.code, decision.reason, decision.advice)
