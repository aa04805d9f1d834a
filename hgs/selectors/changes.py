"""What approving a submission would change, compared with what HGS trusts already: the diff an administrator reads."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from django.utils import timezone

from hgs import artefacts
from hgs.attestation.ci_policy import CiPolicyHeader, parse_ci_policy
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


def baseline_difference(content: bytes, version: int) -> Difference:
    """A boot log compared with the nearest baseline of ``version``, enabled ones before disabled ones.

    Raises Invalid for a log that cannot be read.
    """
    artefacts.read_baseline(content)
    after = artefacts.measured_baseline(content)
    known = [
        (baseline, artefacts.measured_baseline(bytes(baseline.content)))
        for baseline in Baseline.objects.filter(policy_version=version)
    ]
    if not known:
        return Difference("", "It is the first baseline of this HGS: there is none to compare it with.")
    nearest, before = min(
        known, key=lambda pair: (not pair[0].is_enabled, distance(pair[1], after), pair[0].name.lower())
    )
    changes = compare_baselines(before, after)
    if not changes:
        return Difference(nearest.name, f"It is the same as the baseline {nearest.name}.")
    state = "" if nearest.is_enabled else " (disabled)"
    return Difference(nearest.name, f"Compared with the nearest baseline, {nearest.name}{state}:", changes)


def _of_baseline(submission: Submission) -> Difference:
    return baseline_difference(bytes(submission.content), submission.policy_version)


def _of_ci_policy(submission: Submission) -> Difference:
    after = parse_ci_policy(bytes(submission.content))
    known = list(CiPolicy.objects.filter(policy_version=submission.policy_version))
    same = next((item for item in known if item.digest == after.digest), None)
    if same is not None:
        return Difference(same.name, f"It is the same as the CI policy {same.name}.")
    readable = [(item, header) for item in known if (header := _header(bytes(item.content))) is not None]
    if not readable:
        return Difference("", "It is the first CI policy of this HGS: there is none to compare it with.")
    nearest, before = min(readable, key=lambda pair: _ci_distance(submission.name, pair[0].name, pair[1], after.header))
    changes = tuple(_header_changes(before, after.header))
    if not changes:
        changes = (Change("changed", "Rules", "The headers agree; the rules inside differ."),)
    return Difference(nearest.name, f"Compared with the CI policy {nearest.name}:", changes)


def _header(content: bytes) -> CiPolicyHeader | None:
    try:
        return parse_ci_policy(content).header
    except AttestationError:
        return None


def _ci_distance(name: str, known: str, before: CiPolicyHeader, after: CiPolicyHeader) -> tuple[bool, bool, int, str]:
    counts = abs(before.file_rules - after.file_rules) + abs(before.signers - after.signers)
    return known.lower() != name.lower(), before.policy_type != after.policy_type, counts, known.lower()


def _header_changes(before: CiPolicyHeader, after: CiPolicyHeader) -> Iterable[Change]:
    if before.audit != after.audit:
        word = "audited only: nothing is refused" if after.audit else "enforced"
        yield Change("changed", "Mode", f"The policy is {word}.", weakens=after.audit)
    if before.version != after.version:
        older = after.version < before.version
        sentence = f"Version {before.version_text} became {after.version_text}."
        yield Change("changed", "Version", sentence, weakens=older)
    if before.options != after.options:
        sentence = f"Options 0x{before.options:08x} became 0x{after.options:08x}."
        yield Change("changed", "Options", sentence)
    for subject, old, new in (
        ("File rules", before.file_rules, after.file_rules),
        ("Signers", before.signers, after.signers),
    ):
        if old != new:
            kind = "added" if new > old else "removed"
            yield Change(kind, subject, f"{old} became {new}.", weakens=new > old)


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
