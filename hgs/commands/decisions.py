"""Deciding about many submissions at once: each on its own, so that one that cannot be approved keeps no other back."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hgs.commands.submissions import approve, reject
from hgs.models import PolicyVersion, Submission
from portal.kernel.actor import Actor
from portal.kernel.errors import DomainError


@dataclass(frozen=True)
class Decided:
    """One submission as it stands now; ``error`` says why nothing was decided about it."""

    submission: Submission
    error: DomainError | None = None

    @property
    def reason(self) -> str:
        """Why nothing was decided, with what to do; empty where it was."""
        return f"{self.error.message} {self.error.advice}".strip() if self.error else ""


def approve_many(
    actor: Actor, submissions: Iterable[Submission], *, version: PolicyVersion | None = None, force: bool = False
) -> list[Decided]:
    """Approve each of them; what stands in the way of one is in its result. Options are those of ``approve``."""
    return [_decide(one, lambda chosen: approve(actor, chosen, version=version, force=force)) for one in submissions]


def reject_many(actor: Actor, submissions: Iterable[Submission], reason: str = "") -> list[Decided]:
    """Reject each of them with one reason."""
    return [_decide(submission, lambda one: reject(actor, one, reason)) for submission in submissions]


def _decide(submission: Submission, decide: Callable[[Submission], Submission]) -> Decided:
    try:
        return Decided(decide(submission))
    except DomainError as error:
        return Decided(submission, error)
