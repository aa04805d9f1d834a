"""Pages about attestations: the list with its filters, one verdict check by check, one host, capturing baselines."""

from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from hgs.attestation.verdict import AttestationSubStatus
from hgs.commands.capture import (
    MOST,
    Plan,
    capture_baseline,
    capture_baselines,
    may_capture,
    plan_captures,
    proposed_name,
)
from hgs.models import Attestation
from hgs.policy import Action, may
from hgs.selectors import attestations, known_hosts
from hgs.selectors.changes import Difference, baseline_difference
from hgs.web.access import context, deed, form, page
from hgs.web.lists import chosen_ids, page_of
from portal.kernel.actor import Actor
from portal.kernel.errors import DomainError
from portal.kernel.policy import require

_OUTCOMES = (("passed", "Passed"), ("failed", "Failed"), ("rehearsal", "Rehearsals"))
_MODES = (("tpm", "TPM"), ("ad", "Active Directory"), ("host-key", "Host key"))
_REASONS = tuple(sorted(item.value for item in AttestationSubStatus if item.value != "NoInformation"))


@page
def list_attestations(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Attestations, newest first, filtered by what the address says."""
    filters = {name: request.GET.get(name, "") for name in ("host", "outcome", "mode", "reason")}
    found = attestations.filtered(
        actor,
        host=filters["host"],
        outcome=filters["outcome"],
        mode=filters["mode"],
        sub_status=filters["reason"] if filters["reason"] in _REASONS else "",
    )
    values = context(
        actor,
        "attestations",
        page=page_of(request, found),
        filters=filters,
        filtered=any(filters.values()),
        outcomes=_OUTCOMES,
        modes=_MODES,
        reasons=_REASONS,
        page_query=urlencode({name: value for name, value in filters.items() if value}),
    )
    return render(request, "hgs/attestations.html", values)


@page
def show_attestation(request: HttpRequest, actor: Actor, attestation_id: UUID) -> HttpResponse:
    """One attestation, check by check; beside it what could be made of it."""
    found = attestations.attestation(actor, attestation_id)
    verdict = attestations.verdict(found)
    capture = may_capture(actor, found)
    values = context(
        actor,
        "attestations",
        attestation=found,
        verdict=verdict,
        number=verdict.status.number,
        evidence=[check for check in verdict.checks if not check.policy],
        policies=[check for check in verdict.checks if check.policy],
        nearest=_nearest(found) if "SecureBootSettings" in found.verdict["sub_statuses"] else None,
        capture_name=proposed_name(found) if capture else "",
        why_no_capture=getattr(capture, "reason", ""),
        captures=found.captures.order_by("-submitted_at"),
    )
    return render(request, "hgs/attestation.html", values)


def _nearest(found: Attestation) -> Difference | None:
    """The boot compared with the nearest baseline of today; None where its log is not kept or cannot be read."""
    if found.log is None:
        return None
    try:
        return baseline_difference(bytes(found.log.content), found.policy_version)
    except DomainError:
        return None


def _beside(plan: Plan) -> Difference | None:
    return baseline_difference(plan.content, plan.attestation.policy_version) if plan.is_new else None


@page
def show_host(request: HttpRequest, actor: Actor, identity: str) -> HttpResponse:
    """One host by its identity, of whatever mode: what HGS knows of it, and how its attestations went."""
    host = known_hosts.host_by_identity(actor, identity)
    made = attestations.attestations(actor).filter(identity=identity, proven=True)
    values = context(
        actor,
        "hosts",
        host=host,
        turn=attestations.last_turn(actor, identity),
        page=page_of(request, made),
        measured=next(iter(attestations.latest_measured(actor, [identity])), None),
    )
    return render(request, "hgs/host.html", values)


@deed("hgs:approvals")
def capture_one(request: HttpRequest, actor: Actor, attestation_id: UUID) -> str:
    """Submit what one attestation measured as a baseline."""
    name = " ".join(request.POST.get("name", "").split())
    submission = capture_baseline(actor, attestations.attestation(actor, attestation_id), name)
    if submission.state == "approved":
        return f"Baseline {submission.name} captured. HGS trusts it now."
    return f"Baseline {submission.name} captured. It waits for approval here; nothing is trusted yet."


@form("hgs:attestations")
def capture_many(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Submit what many attestations, or the last ones of many hosts, measured: once for hosts that booted alike."""
    require(may(actor, Action.SUBMIT))
    identities = (request.POST if request.method == "POST" else request.GET).getlist("host")[:MOST]
    chosen = attestations.chosen(actor, chosen_ids(request)[:MOST]) + attestations.latest_measured(actor, identities)
    if not chosen:
        return redirect("hgs:attestations")
    if request.method != "POST":
        items = [(plan, _beside(plan)) for plan in plan_captures(actor, chosen)]
        useful = any(plan.is_new for plan, _ in items)
        values = context(actor, "baselines", items=items, chosen=chosen, useful=useful)
        return render(request, "hgs/capture.html", values)
    return render(request, "hgs/captured.html", context(actor, "baselines", results=capture_baselines(actor, chosen)))
