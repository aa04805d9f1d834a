"""What the fabric asks HGS to trust, and the decision of an HGS administrator about it."""

import hashlib
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from hgs import artefacts
from hgs.commands.approval import Approval, apply, is_trusted
from hgs.commands.names import check_name
from hgs.models import Attestation, PolicyVersion, Submission, SubmissionKind, SubmissionState
from hgs.policy import Action, may, may_decide
from portal.kernel import audit
from portal.kernel.actor import Actor, system_actor
from portal.kernel.errors import Conflict, DomainError, Invalid
from portal.kernel.policy import require

MAX_PENDING: Final = 500
"""Submissions that may wait: more than people decide about, and a bound on what the fabric's token can store."""
_HOST_KINDS: Final = frozenset({SubmissionKind.HOST, SubmissionKind.HOST_KEY})


def submit(
    actor: Actor,
    kind: str,
    name: str,
    content: bytes,
    *,
    version: PolicyVersion = PolicyVersion.V2,
    captured_from: Attestation | None = None,
) -> tuple[Submission, bool]:
    """Ask HGS to trust a host identity, a baseline or a code integrity policy of one policy version.

    ``captured_from``: the attestation whose boot log the content is.
    Returns the submission and whether it is new: the same content under the same name asks once, while it waits and for
    as long as it is trusted. Nothing is trusted before it is approved; with ``HGS_AUTO_APPROVE`` that happens here, and
    what stands in the way is the ``reason`` of the submission, which then stays pending. Raises Invalid for content
    that is not of its kind, Conflict while too many submissions wait.
    """
    require(may(actor, Action.SUBMIT))
    if kind not in SubmissionKind.values:
        known = ", ".join(SubmissionKind.values)
        raise Invalid("submission-kind", f"A submission is one of: {known}.", fields={"kind": kind[:32]})
    check_name(name, of_host=kind in _HOST_KINDS)
    artefacts.read(SubmissionKind(kind), content)
    submission, created = _record(actor, SubmissionKind(kind), name, content, version, captured_from)
    if submission.state == SubmissionState.PENDING and settings.HGS_AUTO_APPROVE:
        submission = _approve_at_once(submission)
    return submission, created


def _record(
    actor: Actor,
    kind: SubmissionKind,
    name: str,
    content: bytes,
    version: PolicyVersion,
    captured_from: Attestation | None,
) -> tuple[Submission, bool]:
    content_hash = hashlib.sha256(content).hexdigest()
    same = Submission.objects.filter(kind=kind, name__iexact=name, content_hash=content_hash, policy_version=version)
    pending = same.filter(state=SubmissionState.PENDING)
    if found := pending.first():
        return found, False
    approved = same.filter(state=SubmissionState.APPROVED).first()
    if approved is not None and is_trusted(approved):
        return approved, False
    _check_room()
    try:
        with transaction.atomic():
            submission = Submission.objects.create(
                kind=kind,
                name=name,
                content=content,
                content_hash=content_hash,
                policy_version=version,
                captured_from=captured_from,
                submitted_at=timezone.now(),
                submitted_by=actor.name,
            )
            audit.record(
                actor,
                "submission:created",
                target_type="submission",
                target_id=submission.id,
                summary=f"{kind.label} {name} submitted.",
                data={"kind": kind.value, "name": name, "content_sha256": content_hash},
            )
    except IntegrityError as error:
        if found := pending.first():
            return found, False
        raise Conflict(
            "submission-decided", "The same was submitted, and decided about, at the same moment.", "Look again."
        ) from error
    return submission, True


def _check_room() -> None:
    if Submission.objects.filter(state=SubmissionState.PENDING).count() >= MAX_PENDING:
        raise Conflict(
            "too-many-pending",
            f"{MAX_PENDING} submissions wait for a decision already; no more are taken.",
            "An HGS administrator must decide about some of them first: gf hgs approvals, or the HGS console.",
        )


def _approve_at_once(submission: Submission) -> Submission:
    try:
        return approve(system_actor("auto-approve"), submission)
    except DomainError as error:
        submission.reason = f"Not approved automatically: {error.message}"[:500]
        submission.save(update_fields=["reason"])
        return submission


def approve(
    actor: Actor, submission: Submission, *, version: PolicyVersion | None = None, force: bool = False
) -> Submission:
    """Make what was submitted trusted, for the policy version that it was submitted for or for another one.

    ``force`` admits a TPM host without an endorsement key certificate, or with one that leads to no trusted maker; it
    does so in version 1 only. Raises Conflict when it was decided before, or when it contradicts what is trusted
    already, Invalid when it cannot be admitted.
    """
    try:
        with transaction.atomic():
            submission = Submission.objects.select_for_update().get(pk=submission.pk)
            require(may_decide(actor, submission, auto_approve=settings.HGS_AUTO_APPROVE))
            version = PolicyVersion(version or submission.policy_version)
            target = apply(Approval(actor, submission, version, force))
            _decide(actor, submission, SubmissionState.APPROVED, "", version)
            _audit_approval(actor, submission, target)
    except IntegrityError as error:
        raise Conflict(
            "submission-same", "The same was approved for this version at the same moment.", "Look again."
        ) from error
    return submission


def _audit_approval(actor: Actor, submission: Submission, target: dict[str, str]) -> None:
    label, version = SubmissionKind(submission.kind).label, PolicyVersion(submission.policy_version).label
    by_force = " by force" if "forced" in target else ""
    audit.record(
        actor,
        "submission:approved",
        target_type="submission",
        target_id=submission.id,
        summary=f"{label} {submission.name} approved{by_force} for {version}; HGS trusts it now.",
        data={
            "kind": submission.kind,
            "name": submission.name,
            "content_sha256": submission.content_hash,
            "policy_version": version,
        }
        | target,
    )


def reject(actor: Actor, submission: Submission, reason: str = "") -> Submission:
    """Refuse what was submitted; the same content may be submitted again. Raises Conflict when decided before."""
    with transaction.atomic():
        submission = Submission.objects.select_for_update().get(pk=submission.pk)
        require(may_decide(actor, submission, auto_approve=False))
        _decide(actor, submission, SubmissionState.REJECTED, reason[:500], PolicyVersion(submission.policy_version))
        audit.record(
            actor,
            "submission:rejected",
            target_type="submission",
            target_id=submission.id,
            summary=f"{SubmissionKind(submission.kind).label} {submission.name} rejected.",
            data={"kind": submission.kind, "name": submission.name, "reason": reason[:500]},
        )
    return submission


def _decide(actor: Actor, submission: Submission, state: SubmissionState, reason: str, version: PolicyVersion) -> None:
    changed = Submission.objects.filter(pk=submission.pk, state=SubmissionState.PENDING).update(
        state=state, decided_at=timezone.now(), decided_by=actor.name, reason=reason, policy_version=version
    )
    if not changed:
        raise Conflict("submission-decided", "Somebody else decided about this submission at the same moment.")
    submission.refresh_from_db()
