"""What approving a submission would change, compared with what HGS trusts already: the diff an administrator reads."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from django.utils import timezone

from hgs import artefacts
from hgs.attestation.ci_policy import CiPolicy as ParsedPolicy
from hgs.attestation.ci_policy import PolicyDifference, compare_policies, nearest, parse_ci_policy
from hgs.attestation.ekcert import parse_ek_certificate
from hgs.attestation.errors import AttestationError
from hgs.models import Baseline, CiPolicy, Submission, SubmissionKind, SubmissionState
from hgs.policy import Action, may
from hgs.selectors import trust
from hgs.selectors.baseline_changes import Change, compare_baselines, distance
from hgs.selectors.policy_dry_run import PolicyForecast, artefact_forecast
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid
from portal.kernel.policy import require


@dataclass(frozen=True)
class Difference:
    """A submission beside what is nearest to it among the trusted; ``against`` is empty where there is nothing.

    ``sentence`` introduces ``changes``, which are empty for what is the same.
    """

    against: str
    sentence: str
    changes: tuple[Change, ...] = ()

    @property
    def weakens(self) -> bool:
        """Whether any change deserves a second look."""
        return any(change.weakens for change in self.changes)


def difference(actor: Actor, submission: Submission) -> Difference | None:
    """The submission compared with its like; None for a kind that has none. Raises Invalid for unreadable content."""
    require(may(actor, Action.READ))
    compare = _COMPARE.get(SubmissionKind(submission.kind))
    return compare(submission) if compare else None


def forecast(actor: Actor, submission: Submission) -> PolicyForecast | None:
    """Which known hosts would pass once a pending baseline or CI policy is approved; None for anything else."""
    require(may(actor, Action.READ))
    model = _MODELS.get(SubmissionKind(submission.kind))
    if model is None or submission.state != SubmissionState.PENDING:
        return None
    content = bytes(submission.content)
    digest = artefacts.read(SubmissionKind(submission.kind), content).digest
    version = submission.policy_version
    if model.objects.filter(digest=digest, policy_version=version, is_enabled=True).exists():
        return None
    unsaved = model(name=submission.name, digest=digest, content=content, policy_version=version)
    return artefact_forecast(actor, unsaved, True)


def baseline_difference(content: bytes, version: int, *, with_itself: bool = True) -> Difference:
    """A boot log compared with the nearest baseline of ``version``, enabled ones before disabled ones.

    ``with_itself``: the same baseline, if it is trusted, counts too. Raises Invalid for a log that cannot be read.
    """
    digest = artefacts.read_baseline(content).digest
    after = artefacts.measured_baseline(content)
    rows = Baseline.objects.filter(policy_version=version)
    known = [
        (baseline, artefacts.measured_baseline(bytes(baseline.content)))
        for baseline in (rows if with_itself else rows.exclude(digest=digest))
    ]
    if not known:
        return Difference("", "It is the only baseline of this HGS: there is none to compare it with.")
    closest, before = min(
        known, key=lambda pair: (not pair[0].is_enabled, distance(pair[1], after), pair[0].name.lower())
    )
    changes = compare_baselines(before, after)
    if not changes:
        return Difference(closest.name, f"It is the same as the baseline {closest.name}.")
    state = "" if closest.is_enabled else " (disabled)"
    return Difference(closest.name, f"Compared with the nearest baseline, {closest.name}{state}:", changes)


def _of_baseline(submission: Submission) -> Difference:
    return baseline_difference(
        bytes(submission.content), submission.policy_version, with_itself=_is_pending(submission)
    )


def _is_pending(submission: Submission) -> bool:
    """What was approved is trusted by now; what it changed then shows beside the others."""
    return submission.state == SubmissionState.PENDING


def _of_ci_policy(submission: Submission) -> Difference:
    after = parse_ci_policy(bytes(submission.content))
    known = list(CiPolicy.objects.filter(policy_version=submission.policy_version))
    same = next((item for item in known if item.digest == after.digest), None)
    if same is not None and not _is_pending(submission):
        known.remove(same)
    elif same is not None:
        return Difference(same.name, f"It is the same as the CI policy {same.name}.")
    readable = [(item.name, policy) for item in known if (policy := _readable(bytes(item.content))) is not None]
    # A policy of the same name, whatever its version at the end, is what this one replaces.
    related = [pair for pair in readable if _stem(pair[0]) == _stem(submission.name)]
    closest = nearest(after, related or readable)
    if closest is None:
        return Difference("", "It is the only CI policy of this HGS: there is none to compare it with.")
    name, before = closest
    return Difference(name, f"Compared with the CI policy {name}:", _grouped(compare_policies(before, after)))


def _readable(content: bytes) -> ParsedPolicy | None:
    try:
        return parse_ci_policy(content)
    except AttestationError:
        return None


def _stem(name: str) -> str:
    """A name without the version or date at its end: ``hosts-2026.11`` is of the family ``hosts``."""
    return re.sub(r"[ ._+()-]*v?[0-9][0-9 ._+()-]*$", "", name.lower()) or name.lower()


def _grouped(differences: Iterable[PolicyDifference]) -> tuple[Change, ...]:
    """Differences of one kind and subject together: a policy of a thousand rules is one line with a list."""
    groups: dict[tuple[str, str], list[PolicyDifference]] = {}
    for item in differences:
        groups.setdefault((item.kind, item.subject), []).append(item)
    return tuple(_one_change(kind, subject, items) for (kind, subject), items in groups.items())


def _one_change(kind: str, subject: str, items: list[PolicyDifference]) -> Change:
    weakens = any(item.weakens for item in items)
    if len(items) == 1:
        return Change(kind, subject, f"{items[0].sentence}.", weakens=weakens)
    entries = tuple(item.sentence.removeprefix(f"{subject} {kind}: ") for item in items)
    return Change(kind, subject, f"{len(items)} {kind}.", entries, weakens)


def _of_host(submission: Submission) -> Difference:
    identity = artefacts.read_host_identity(bytes(submission.content))
    if not identity.ek_certificate:
        sentence = "Only the endorsement key names this TPM: no certificate says that it is a real one."
        return Difference("", "A host without a certificate:", (Change("added", "TPM", sentence, weakens=True),))
    return Difference("", "A host with a certificate of its TPM:", tuple(_host_changes(identity)))


def _host_changes(identity: artefacts.HostIdentity) -> Iterable[Change]:
    certificate = parse_ek_certificate(identity.ek_certificate)
    maker = certificate.manufacturer or "a maker that the certificate does not name"
    yield Change("added", "TPM", f"A TPM of {maker}.", (f"sha256 {identity.ek_hash}",))
    try:
        path = trust.check_ek_certificate(identity.ek_certificate, timezone.now())
    except Invalid as error:
        yield Change("changed", "Certificate path", error.message, weakens=True)
    else:
        names = tuple(item.subject_name or "(no name)" for item in path)
        yield Change("added", "Certificate path", f"Its certificate leads to {names[-1]}.", names)
    if certificate.quirks:
        sentence = "Strict parsers would refuse this certificate. It is read with these allowances:"
        yield Change("changed", "Certificate", sentence, tuple(certificate.quirks))


_COMPARE: Final[dict[SubmissionKind, Callable[[Submission], Difference]]] = {
    SubmissionKind.HOST: _of_host,
    SubmissionKind.BASELINE: _of_baseline,
    SubmissionKind.CI_POLICY: _of_ci_policy,
}
_MODELS: Final[dict[SubmissionKind, type[Baseline] | type[CiPolicy]]] = {
    SubmissionKind.BASELINE: Baseline,
    SubmissionKind.CI_POLICY: CiPolicy,
}
