"""The changes that the HGS console offers; each runs one command."""

from uuid import UUID

from django.http import HttpRequest

from hgs.commands.policies import set_policy_enabled
from hgs.commands.submissions import approve, reject
from hgs.commands.trust import set_artefact_enabled
from hgs.selectors import submissions, trust
from hgs.web.access import deed
from portal.kernel.actor import Actor


@deed("hgs:approvals")
def approve_submission(_request: HttpRequest, actor: Actor, submission_id: UUID) -> str:
    """Trust what was submitted."""
    done = approve(actor, submissions.submission(actor, submission_id))
    return f"{done} approved. HGS trusts it now."


@deed("hgs:approvals")
def reject_submission(request: HttpRequest, actor: Actor, submission_id: UUID) -> str:
    """Refuse what was submitted."""
    reason = " ".join(request.POST.get("reason", "").split())
    done = reject(actor, submissions.submission(actor, submission_id), reason)
    return f"{done} rejected."


@deed("hgs:baselines")
def switch_baseline(_request: HttpRequest, actor: Actor, artefact_id: UUID, enabled: bool) -> str:
    """Enable or disable a baseline."""
    artefact = trust.baseline(actor, artefact_id)
    set_artefact_enabled(actor, artefact, enabled)
    return f"Baseline {artefact.name} {'enabled' if enabled else 'disabled'}."


@deed("hgs:ci-policies")
def switch_ci_policy(_request: HttpRequest, actor: Actor, artefact_id: UUID, enabled: bool) -> str:
    """Enable or disable a code integrity policy."""
    artefact = trust.ci_policy(actor, artefact_id)
    set_artefact_enabled(actor, artefact, enabled)
    return f"CI policy {artefact.name} {'enabled' if enabled else 'disabled'}."


@deed("hgs:policies")
def switch_policy(_request: HttpRequest, actor: Actor, name: str, enabled: bool) -> str:
    """Enable or disable a built-in policy."""
    changed = set_policy_enabled(actor, name, enabled)
    return f"{changed} {'enabled' if enabled else 'disabled'}. It counts from the next attestation on."
