"""Reads of submissions."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from hgs import artefacts
from hgs.models import Baseline, CiPolicy, PolicyVersion, Submission, SubmissionKind, SubmissionState, TpmHost
from hgs.policy import Action, may
from hgs.selectors import host_trust, trust
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid, NotFound
from portal.kernel.policy import require


def submissions(actor: Actor, state: str = "") -> QuerySet[Submission]:
    """Submissions, newest first, without their content; of one state or of all."""
    require(may(actor, Action.READ))
    found = Submission.objects.defer("content")
    return found.filter(state=state) if state in SubmissionState.values else found


def pending_count(actor: Actor) -> int:
    """How many submissions wait for a decision."""
    return submissions(actor, SubmissionState.PENDING).count()


def submission(actor: Actor, submission_id: UUID) -> Submission:
    """One submission with its content. Raises NotFound."""
    require(may(actor, Action.READ))
    return _one(submission_id)


def chosen(actor: Actor, ids: Iterable[UUID]) -> list[Submission]:
    """Submissions by id with their content, in the order asked for; those that are gone are left out."""
    require(may(actor, Action.READ))
    wanted = list(ids)
    found = Submission.objects.in_bulk(wanted)
    return [found[one] for one in wanted if one in found]


def submission_for_fabric(actor: Actor, submission_id: UUID) -> Submission:
    """One submission, for whoever may read verdicts. Raises NotFound."""
    require(may(actor, Action.READ_VERDICTS))
    return _one(submission_id)


def _one(submission_id: UUID) -> Submission:
    found = Submission.objects.filter(pk=submission_id).first()
    if found is None:
        raise NotFound("no-such-submission", "There is no such submission.")
    return found


@dataclass(frozen=True)
class Preview:
    """What a submission says, and what its approval changes. ``facts`` are (label, value) for people."""

    change: str
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def preview(actor: Actor, submission: Submission) -> Preview:
    """Read a submission for the person who decides about it."""
    require(may(actor, Action.READ))
    content = bytes(submission.content)
    if submission.kind == SubmissionKind.HOST:
        return _preview_host(submission, artefacts.read_host_identity(content))
    kind = SubmissionKind(submission.kind)
    artefact = artefacts.read(kind, content)
    if isinstance(artefact, artefacts.HostKeyIdentity | artefacts.HostGroupIdentity):
        change = host_trust.change(submission.name, artefact)
        return Preview(change, tuple(artefact.facts.items()), (*artefact.warnings, *host_trust.not_yet(kind)))
    model = Baseline if kind is SubmissionKind.BASELINE else CiPolicy
    return Preview(_artefact_change(model, submission, artefact), tuple(artefact.facts.items()), artefact.warnings)


def _preview_host(submission: Submission, identity: artefacts.HostIdentity) -> Preview:
    warnings = list(identity.warnings)
    facts = dict(identity.facts) | {"Policy version": PolicyVersion(submission.policy_version).label}
    if identity.ek_certificate:
        try:
            path = trust.check_ek_certificate(identity.ek_certificate, timezone.now())
            facts["Certificate leads to"] = path[-1].subject_name
        except Invalid as error:
            facts["Certificate leads to"] = "no trusted TPM root"
            warnings.append(f"It cannot be approved yet. {error.message}")
    if identity.name.lower() != submission.name.lower():
        warnings.append("The name in the file is another than the name it was submitted under.")
    return Preview(_host_change(submission, identity), tuple(facts.items()), tuple(warnings))


def _host_change(submission: Submission, identity: artefacts.HostIdentity) -> str:
    known = TpmHost.objects.filter(ek_hash=identity.ek_hash).first()
    if known is not None and known.name.lower() != submission.name.lower():
        return f"This TPM is known already, as the host {known.name}. Remove that host first if it was renamed."
    if known is not None:
        before, after = PolicyVersion(known.policy_version), PolicyVersion(submission.policy_version)
        if before is not after:
            return f"The host {known.name} is known for {before.label}; it attests by {after.label} then."
        if bytes(known.ek_certificate) != identity.ek_certificate:
            return f"The host {known.name} is known already; its certificate is replaced by this one."
        return f"Nothing: this TPM is known already, as the host {known.name}."
    if TpmHost.objects.filter(name__iexact=submission.name).exists():
        return f"A host named {submission.name} is known with another TPM. Remove it first."
    return f"A new host: the TPM with this endorsement key may attest, as {submission.name}."


def _artefact_change(
    model: type[Baseline] | type[CiPolicy], submission: Submission, artefact: artefacts.Artefact
) -> str:
    what = "baseline" if model is Baseline else "CI policy"
    known = model.objects.filter(digest=artefact.digest, policy_version=submission.policy_version).first()
    if known is not None and known.is_enabled:
        return f"Nothing: the same {what} is trusted already, as {known.name}."
    if known is not None:
        return f"The {what} {known.name}, which is disabled, is enabled again."
    if model.objects.filter(name__iexact=submission.name).exists():
        return f"A {what} named {submission.name} exists already, with other content or version. Use another name."
    if model is Baseline:
        return "A new baseline: hosts that boot like this may attest."
    return "A new CI policy: hosts that run it may attest."
