"""What the fabric asks HGS to trust, and the decision of an HGS administrator about it."""

import hashlib
import re
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from hgs import artefacts
from hgs.models import (
    Attestation,
    Baseline,
    CiPolicy,
    PolicyVersion,
    Submission,
    SubmissionKind,
    SubmissionState,
    TpmHost,
)
from hgs.policy import Action, may, may_decide
from hgs.selectors.trust import check_ek_certificate
from portal.kernel import audit
from portal.kernel.actor import Actor, system_actor
from portal.kernel.errors import Conflict, DomainError, Invalid
from portal.kernel.policy import require

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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
    Returns the submission and whether it is new: the same content under the same name asks once. Nothing is trusted
    before it is approved; with ``HGS_AUTO_APPROVE`` that happens here, and what stands in the way is the ``reason`` of
    the submission, which then stays pending. Raises Invalid for content that is not of its kind.
    """
    require(may(actor, Action.SUBMIT))
    if kind not in SubmissionKind.values:
        raise Invalid("submission-kind", "A submission is one of: host, baseline, ci-policy.", fields={"kind": kind})
    if not _NAME.fullmatch(name):
        raise Invalid(
            "submission-name",
            "A name has 1 to 64 letters, digits, dots, hyphens and underscores, and starts with a letter or digit.",
            fields={"name": name[:64]},
        )
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
    same = Submission.objects.filter(
        kind=kind, name__iexact=name, content_hash=content_hash, policy_version=version
    ).exclude(state=SubmissionState.REJECTED)
    if found := same.first():
        return found, False
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
    except IntegrityError:
        return same.get(), False
    return submission, True


def _approve_at_once(submission: Submission) -> Submission:
    try:
        return approve(system_actor("auto-approve"), submission)
    except DomainError as error:
        submission.reason = f"Not approved automatically: {error.message}"[:500]
        submission.save(update_fields=["reason"])
        return submission


def approve(actor: Actor, submission: Submission) -> Submission:
    """Make what was submitted trusted.

    Raises Conflict when it was decided before, or when it contradicts what is trusted already, Invalid when an
    endorsement key certificate does not chain to a trusted TPM root.
    """
    with transaction.atomic():
        submission = Submission.objects.select_for_update().get(pk=submission.pk)
        require(may_decide(actor, submission, auto_approve=settings.HGS_AUTO_APPROVE))
        target = _APPLY[SubmissionKind(submission.kind)](actor, submission)
        _decide(actor, submission, SubmissionState.APPROVED, "")
        audit.record(
            actor,
            "submission:approved",
            target_type="submission",
            target_id=submission.id,
            summary=f"{SubmissionKind(submission.kind).label} {submission.name} approved; HGS trusts it now.",
            data={"kind": submission.kind, "name": submission.name, "content_sha256": submission.content_hash} | target,
        )
    return submission


def reject(actor: Actor, submission: Submission, reason: str = "") -> Submission:
    """Refuse what was submitted; the same content may be submitted again. Raises Conflict when decided before."""
    with transaction.atomic():
        submission = Submission.objects.select_for_update().get(pk=submission.pk)
        require(may_decide(actor, submission, auto_approve=False))
        _decide(actor, submission, SubmissionState.REJECTED, reason[:500])
        audit.record(
            actor,
            "submission:rejected",
            target_type="submission",
            target_id=submission.id,
            summary=f"{SubmissionKind(submission.kind).label} {submission.name} rejected.",
            data={"kind": submission.kind, "name": submission.name, "reason": reason[:500]},
        )
    return submission


def _decide(actor: Actor, submission: Submission, state: SubmissionState, reason: str) -> None:
    changed = Submission.objects.filter(pk=submission.pk, state=SubmissionState.PENDING).update(
        state=state, decided_at=timezone.now(), decided_by=actor.name, reason=reason
    )
    if not changed:
        raise Conflict("submission-decided", "Somebody else decided about this submission at the same moment.")
    submission.refresh_from_db()


def _apply_host(actor: Actor, submission: Submission) -> dict[str, str]:
    identity = artefacts.read_host_identity(bytes(submission.content))
    check_ek_certificate(identity.ek_certificate, timezone.now())
    known = TpmHost.objects.filter(ek_hash=identity.ek_hash).first()
    if known is not None and known.name.lower() != submission.name.lower():
        raise Conflict(
            "tpm-known",
            f"The TPM of {submission.name} is known already, as the host {known.name}.",
            f"Remove the host {known.name} first if it was renamed.",
        )
    if known is None and TpmHost.objects.filter(name__iexact=submission.name).exists():
        raise Conflict(
            "host-known",
            f"A host named {submission.name} is known already, with another TPM.",
            "Remove that host first if its TPM or mainboard was replaced.",
        )
    if known is None:
        TpmHost.objects.create(
            name=submission.name,
            ek_hash=identity.ek_hash,
            ek_public=identity.ek_public,
            ek_certificate=identity.ek_certificate,
            approved_at=timezone.now(),
            approved_by=actor.name,
        )
    return {"ek_hash": identity.ek_hash}


def _apply_baseline(actor: Actor, submission: Submission) -> dict[str, str]:
    return _apply_artefact(Baseline, artefacts.read_baseline(bytes(submission.content)), actor, submission)


def _apply_ci_policy(actor: Actor, submission: Submission) -> dict[str, str]:
    return _apply_artefact(CiPolicy, artefacts.read_ci_policy(bytes(submission.content)), actor, submission)


def _apply_artefact(
    model: type[Baseline] | type[CiPolicy], artefact: artefacts.Artefact, actor: Actor, submission: Submission
) -> dict[str, str]:
    """Trust an artefact. The same digest again only switches it on; a name means one digest at a time."""
    known = model.objects.filter(digest=artefact.digest).first()
    if known is not None:
        model.objects.filter(pk=known.pk).update(is_enabled=True)
        return {"digest": artefact.digest}
    label = str(model._meta.verbose_name)
    if model.objects.filter(name__iexact=submission.name).exists():
        raise Conflict(
            "artefact-name-taken",
            f"A {label} named {submission.name} exists already, with other content.",
            "Submit it under a name of its own, for example with a version at its end.",
        )
    model.objects.create(
        name=submission.name,
        digest=artefact.digest,
        content=bytes(submission.content),
        facts=artefact.facts,
        approved_at=timezone.now(),
        approved_by=actor.name,
    )
    return {"digest": artefact.digest}


_APPLY: Final = {
    SubmissionKind.HOST: _apply_host,
    SubmissionKind.BASELINE: _apply_baseline,
    SubmissionKind.CI_POLICY: _apply_ci_policy,
}
