"""Capturing what a host measured as a new baseline: after a firmware update, from one attestation or from many.

What is captured is submitted, no more: it waits for approval like any submission, except where a lab approves at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final
from uuid import UUID

from hgs import artefacts
from hgs.attestation.verdict import AttestationStatus
from hgs.commands.submissions import MAX_PENDING, submit
from hgs.models import (
    Attestation,
    Baseline,
    OperationMode,
    PolicyVersion,
    Submission,
    SubmissionKind,
    SubmissionState,
)
from hgs.policy import Action, may
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, DomainError
from portal.kernel.policy import Allowed, Decision, Denial, require

MOST: Final = 500
"""Attestations captured at once."""


class CaptureOutcome(StrEnum):
    """What became of a capture."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    WAITING = "waiting"
    KNOWN = "known"
    REFUSED = "refused"


@dataclass(frozen=True)
class Captured:
    """One baseline and the hosts that it covers; ``submission`` is None unless one was made, or waits already."""

    outcome: CaptureOutcome
    hosts: tuple[str, ...]
    sentence: str
    submission: Submission | None = None

    @property
    def name(self) -> str:
        """Of the submission."""
        return self.submission.name if self.submission else ""


@dataclass(frozen=True)
class _Measured:
    """What one group of attestations measured alike."""

    digest: str
    content: bytes
    attestations: tuple[Attestation, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(sorted({item.host_name for item in self.attestations}))

    @property
    def newest(self) -> Attestation:
        return max(self.attestations, key=lambda item: item.at)

    @property
    def version(self) -> PolicyVersion:
        return PolicyVersion(self.newest.policy_version)


def may_capture(actor: Actor, attestation: Attestation) -> Decision:
    """Whether a baseline can be made of what this attestation measured."""
    permitted = may(actor, Action.SUBMIT)
    if isinstance(permitted, Denial):
        return permitted
    reason = _obstacle(attestation)
    return Denial(reason, "nothing-to-capture", because_of_state=True) if reason else Allowed()


def _obstacle(attestation: Attestation) -> str:
    if attestation.mode != OperationMode.TPM:
        return "Baselines belong to TPM mode; this attestation is of another."
    if not attestation.host_name or not attestation.proven:
        return "The TPM behind this attestation did not prove itself as that of a known host."
    if attestation.status == AttestationStatus.TPM_ERROR.value or attestation.log_id is None:
        return "Its boot log was not confirmed by a quote, or is not kept any more."
    return ""


def proposed_name(attestation: Attestation) -> str:
    """A name for a baseline captured here that is free: host and date, numbered where that is taken."""
    stem = f"{attestation.host_name[:50]}-{attestation.at:%Y-%m-%d}"
    for number in range(1, 1000):
        name = stem if number == 1 else f"{stem}-{number}"
        taken = Baseline.objects.filter(name__iexact=name).exists()
        pending = Submission.objects.filter(
            kind=SubmissionKind.BASELINE, name__iexact=name, state=SubmissionState.PENDING
        )
        if not taken and not pending.exists():
            return name
    return f"{stem}-{attestation.id.hex[:8]}"


@dataclass(frozen=True)
class Plan:
    """What a capture would come to for hosts that measured alike; ``obstacle`` says why nothing would be submitted.

    ``attestation`` is the one whose log would be submitted.
    """

    attestation: Attestation
    hosts: tuple[str, ...]
    obstacle: str = ""
    content: bytes = b""

    @property
    def is_new(self) -> bool:
        """Whether a submission would be made."""
        return not self.obstacle


def plan_captures(actor: Actor, attestations: Sequence[Attestation]) -> list[Plan]:
    """What :func:`capture_baselines` would do, for the person who is asked; changes nothing."""
    usable, refused = _sorted_out(actor, attestations)
    plans = [Plan(attestation, (_named(attestation),), reason) for attestation, reason in refused]
    for measured in _group(usable):
        known, waiting = _known(measured), _waiting(measured)
        obstacle = ""
        if known is not None:
            obstacle = f"The same baseline is trusted already, as {known.name}."
        elif waiting is not None:
            obstacle = f"The same baseline waits for approval already, as {waiting.name}."
        plans.append(Plan(measured.newest, measured.hosts, obstacle, measured.content))
    return sorted(plans, key=lambda plan: (not plan.is_new, plan.hosts))


def capture_baseline(actor: Actor, attestation: Attestation, name: str = "") -> Submission:
    """Submit what one attestation measured as a baseline.

    Raises Denied, Conflict where there is nothing to capture or the same baseline is trusted already, Invalid for a
    name that cannot be used. Asking twice gives the submission that waits.
    """
    require(may_capture(actor, attestation))
    (measured,) = _group([attestation])
    captured = _capture(actor, measured, name)
    if captured.submission is None:
        raise Conflict("baseline-known", captured.sentence)
    return captured.submission


def capture_baselines(actor: Actor, attestations: Sequence[Attestation], name: str = "") -> list[Captured]:
    """Submit what many attestations measured, once for each different baseline; says which hosts each one covers.

    ``name`` is for a single attestation; baselines are named by host and date otherwise. What cannot be captured is in
    the result with its reason. Raises Denied, Conflict for more than ``MOST``.
    """
    require(may(actor, Action.SUBMIT))
    if len(attestations) > MOST:
        raise Conflict("too-many", f"At most {MOST} attestations are captured at once.", "Choose fewer.")
    usable, refused = _sorted_out(actor, attestations)
    results = [Captured(CaptureOutcome.REFUSED, (_named(one),), reason) for one, reason in refused]
    for measured in _group(usable):
        try:
            results.append(_capture(actor, measured, name))
        except DomainError as error:
            results.append(Captured(CaptureOutcome.REFUSED, measured.hosts, f"{error.message} {error.advice}".strip()))
    return results


def _sorted_out(
    actor: Actor, attestations: Iterable[Attestation]
) -> tuple[list[Attestation], list[tuple[Attestation, str]]]:
    """Those that can be captured, and the others with the reason."""
    usable: list[Attestation] = []
    refused: list[tuple[Attestation, str]] = []
    for attestation in attestations:
        decision = may_capture(actor, attestation)
        if isinstance(decision, Denial):
            refused.append((attestation, decision.reason))
        else:
            usable.append(attestation)
    return usable, refused


def _named(attestation: Attestation) -> str:
    return attestation.host_name or attestation.identity[:16]


def _group(attestations: Iterable[Attestation]) -> list[_Measured]:
    """Attestations by the baseline that they measured, whatever else their logs say."""
    contents: dict[str, tuple[str, bytes]] = {}
    groups: dict[tuple[str, int], list[Attestation]] = {}
    for attestation in attestations:
        log = attestation.log
        if log is None:
            continue
        if log.sha256 not in contents:
            content = bytes(log.content)
            contents[log.sha256] = artefacts.read_baseline(content).digest, content
        groups.setdefault((contents[log.sha256][0], attestation.policy_version), []).append(attestation)
    found = []
    for (digest, _), members in groups.items():
        newest = max(members, key=lambda item: item.at)
        found.append(_Measured(digest, contents[str(newest.log_id)][1], tuple(members)))
    return found


def _capture(actor: Actor, measured: _Measured, name: str) -> Captured:
    if (known := _known(measured)) is not None:
        sentence = f"The same baseline is trusted already, as {known.name}."
        return Captured(CaptureOutcome.KNOWN, measured.hosts, sentence)
    if (waiting := _waiting(measured)) is not None:
        sentence = f"The same baseline waits for approval already, as {waiting.name}."
        return Captured(CaptureOutcome.WAITING, measured.hosts, sentence, waiting)
    submission, _ = submit(
        actor,
        SubmissionKind.BASELINE,
        name or proposed_name(measured.newest),
        measured.content,
        version=measured.version,
        captured_from=measured.newest,
    )
    if submission.state == SubmissionState.APPROVED:
        sentence = f"Baseline {submission.name} is trusted now."
        return Captured(CaptureOutcome.APPROVED, measured.hosts, sentence, submission)
    sentence = f"Baseline {submission.name} waits for approval. {submission.reason}".rstrip()
    return Captured(CaptureOutcome.SUBMITTED, measured.hosts, sentence, submission)


def _known(measured: _Measured) -> Baseline | None:
    return Baseline.objects.filter(digest=measured.digest, policy_version=measured.version, is_enabled=True).first()


def _waiting(measured: _Measured) -> Submission | None:
    """A submission that waits with the same baseline, from whatever log."""
    pending = Submission.objects.filter(
        kind=SubmissionKind.BASELINE, state=SubmissionState.PENDING, policy_version=measured.version
    )
    for submission in pending.defer("content"):
        if _digest_of(submission.pk) == measured.digest:
            return submission
    return None


@lru_cache(maxsize=2 * MAX_PENDING)
def _digest_of(submission_id: UUID) -> str:
    """Of a submitted baseline; read once in a process, since the content of a submission never changes."""
    content = Submission.objects.values_list("content", flat=True).get(pk=submission_id)
    return artefacts.read_baseline(bytes(content)).digest
