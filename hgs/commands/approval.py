"""What an approval makes of a submission: rows that HGS trusts from then on, one function for each kind.

Those rows may be removed or disabled later, while the submission stays approved for ever: :func:`is_trusted` tells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.utils import timezone

from hgs import artefacts
from hgs.commands import host_groups, host_keys
from hgs.models import Baseline, CiPolicy, HostGroup, HostKey, PolicyVersion, Submission, SubmissionKind, TpmHost
from hgs.selectors.trust import check_ek_certificate
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid


@dataclass(frozen=True)
class Approval:
    """A decision to approve. ``version``: what it counts for; ``force``: admit a TPM whose maker nothing proves."""

    actor: Actor
    submission: Submission
    version: PolicyVersion
    force: bool = False

    @property
    def content(self) -> bytes:
        """What was submitted."""
        return bytes(self.submission.content)


def apply(approval: Approval) -> dict[str, str]:
    """Make what was submitted trusted, in the caller's transaction; returns what the audit event adds.

    Raises Conflict where it contradicts what is trusted already, Invalid where it cannot be admitted.
    """
    kind = SubmissionKind(approval.submission.kind)
    if approval.force and kind is not SubmissionKind.HOST:
        raise Invalid("force-not-for-this", f"A {kind.label} is never approved by force.", "Leave --force out.")
    return _APPLY[kind](approval)


def _apply_host(approval: Approval) -> dict[str, str]:
    name, identity = approval.submission.name, artefacts.read_host_identity(approval.content)
    certificate = _admitted_certificate(identity, approval)
    known = TpmHost.objects.filter(ek_hash=identity.ek_hash).first()
    if known is not None and known.name.lower() != name.lower():
        raise Conflict(
            "tpm-known",
            f"The TPM of {name} is known already, as the host {known.name}.",
            f"Remove the host {known.name} first if it was renamed.",
        )
    if known is None and TpmHost.objects.filter(name__iexact=name).exists():
        raise Conflict(
            "host-known",
            f"A host named {name} is known already, with another TPM.",
            "Remove that host first if its TPM or mainboard was replaced.",
        )
    host = known or TpmHost(name=name, ek_hash=identity.ek_hash, ek_public=identity.ek_public)
    if known is None or (bytes(known.ek_certificate), known.policy_version) != (certificate, approval.version):
        host.ek_certificate, host.policy_version = certificate, approval.version
        host.approved_at, host.approved_by = timezone.now(), approval.actor.name
        host.save()
    forced = {} if certificate else {"forced": "no certificate of the endorsement key counts"}
    return {"ek_hash": identity.ek_hash} | forced


def _admitted_certificate(identity: artefacts.HostIdentity, approval: Approval) -> bytes:
    """The certificate that attestations of this host go by; empty where force stands in for it. Raises Invalid."""
    if approval.force and approval.version is not PolicyVersion.V1:
        raise Invalid(
            "force-needs-v1",
            "A TPM host is admitted by force in version 1 only: version 2 asks each TPM for its maker's certificate.",
            "Add --policy-version v1; the host then needs a baseline and a CI policy of version 1 too.",
        )
    if not identity.ek_certificate:
        if approval.force:
            return b""
        raise Invalid(
            "ek-certificate-missing",
            "The file holds no certificate of the endorsement key, so nothing says that this is a TPM at all.",
            "Compare the endorsement key's hash with the host's own, then add --policy-version v1 --force.",
        )
    try:
        check_ek_certificate(identity.ek_certificate, timezone.now())
    except Invalid:
        if approval.force:
            return b""
        raise
    return identity.ek_certificate


def _apply_host_key(approval: Approval) -> dict[str, str]:
    return host_keys.apply_submission(approval.actor, approval.submission)


def _apply_host_group(approval: Approval) -> dict[str, str]:
    return host_groups.apply_submission(approval.actor, approval.submission)


def _apply_baseline(approval: Approval) -> dict[str, str]:
    return _apply_artefact(Baseline, artefacts.read_baseline(approval.content), approval)


def _apply_ci_policy(approval: Approval) -> dict[str, str]:
    return _apply_artefact(CiPolicy, artefacts.read_ci_policy(approval.content), approval)


def _apply_artefact(
    model: type[Baseline] | type[CiPolicy], artefact: artefacts.Artefact, approval: Approval
) -> dict[str, str]:
    """Trust an artefact. The same digest again only switches it on; a name means one digest at a time."""
    name = approval.submission.name
    known = model.objects.filter(digest=artefact.digest, policy_version=approval.version).first()
    if known is not None:
        model.objects.filter(pk=known.pk).update(is_enabled=True)
        return {"digest": artefact.digest}
    label = str(model._meta.verbose_name)
    if model.objects.filter(name__iexact=name).exists():
        raise Conflict(
            "artefact-name-taken",
            f"A {label} named {name} exists already, with other content or of another version.",
            "Submit it under a name of its own, for example with a version at its end.",
        )
    model.objects.create(
        name=name,
        digest=artefact.digest,
        policy_version=approval.version,
        content=approval.content,
        facts=artefact.facts,
        approved_at=timezone.now(),
        approved_by=approval.actor.name,
    )
    return {"digest": artefact.digest}


_APPLY: Final[dict[SubmissionKind, Callable[[Approval], dict[str, str]]]] = {
    SubmissionKind.HOST: _apply_host,
    SubmissionKind.HOST_KEY: _apply_host_key,
    SubmissionKind.HOST_GROUP: _apply_host_group,
    SubmissionKind.BASELINE: _apply_baseline,
    SubmissionKind.CI_POLICY: _apply_ci_policy,
}


def is_trusted(submission: Submission) -> bool:
    """Whether HGS trusts now what an approval of this submission makes trusted."""
    return _STANDS[SubmissionKind(submission.kind)](submission)


def _host_stands(submission: Submission) -> bool:
    identity = artefacts.read_host_identity(bytes(submission.content))
    known = TpmHost.objects.filter(
        ek_hash=identity.ek_hash, name__iexact=submission.name, policy_version=submission.policy_version
    )
    # Admitted by force, a host is known without the certificate that it was submitted with.
    return known.filter(ek_certificate__in=(b"", identity.ek_certificate)).exists()


def _host_key_stands(submission: Submission) -> bool:
    key = artefacts.read_host_key(bytes(submission.content))
    return HostKey.objects.filter(fingerprint=key.digest, name__iexact=submission.name).exists()


def _host_group_stands(submission: Submission) -> bool:
    group = artefacts.read_host_group(bytes(submission.content))
    return HostGroup.objects.filter(sid=group.sid, name__iexact=submission.name).exists()


def _baseline_stands(submission: Submission) -> bool:
    return _artefact_stands(Baseline, artefacts.read_baseline(bytes(submission.content)), submission)


def _ci_policy_stands(submission: Submission) -> bool:
    return _artefact_stands(CiPolicy, artefacts.read_ci_policy(bytes(submission.content)), submission)


def _artefact_stands(
    model: type[Baseline] | type[CiPolicy], artefact: artefacts.Artefact, submission: Submission
) -> bool:
    """Under whatever name: the same content is trusted once."""
    same = model.objects.filter(digest=artefact.digest, policy_version=submission.policy_version)
    return same.filter(is_enabled=True).exists()


_STANDS: Final[dict[SubmissionKind, Callable[[Submission], bool]]] = {
    SubmissionKind.HOST: _host_stands,
    SubmissionKind.HOST_KEY: _host_key_stands,
    SubmissionKind.HOST_GROUP: _host_group_stands,
    SubmissionKind.BASELINE: _baseline_stands,
    SubmissionKind.CI_POLICY: _ci_policy_stands,
}
