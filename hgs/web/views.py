"""The pages of the HGS console."""

from urllib.parse import urlencode
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from hgs.models import SubmissionState
from hgs.policy import may_decide
from hgs.selectors import attestations, keys, overview, policies, releases, submissions, trust
from hgs.web.access import context, page
from hgs.wire.kps import METADATA_PATH
from portal.kernel.actor import Actor

PAGE_LENGTH = 50


def _page(request: HttpRequest, found: QuerySet[Model]) -> Page[Model]:
    return Paginator(found, PAGE_LENGTH).get_page(request.GET.get("page"))


@page
def show_overview(request: HttpRequest, actor: Actor) -> HttpResponse:
    """What this HGS is and how it fares."""
    values = context(actor, "overview", service=overview.service(actor), metadata_path=METADATA_PATH)
    return render(request, "hgs/overview.html", values)


@page
def list_submissions(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Submissions of one state, the pending ones first of all."""
    state = request.GET.get("state", SubmissionState.PENDING.value)
    found = _page(request, submissions.submissions(actor, state))
    states = [(item.value, item.label) for item in SubmissionState]
    values = context(actor, "approvals", page=found, state=state, states=states, page_query=f"state={state}")
    return render(request, "hgs/submissions.html", values)


@page
def show_submission(request: HttpRequest, actor: Actor, submission_id: UUID) -> HttpResponse:
    """One submission: what it is, and what would change."""
    submission = submissions.submission(actor, submission_id)
    decision = may_decide(actor, submission, auto_approve=False)
    values = context(
        actor,
        "approvals",
        submission=submission,
        preview=submissions.preview(actor, submission),
        may_decide=bool(decision),
        why_not=getattr(decision, "reason", ""),
    )
    return render(request, "hgs/submission.html", values)


@page
def list_hosts(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Hosts that may attest, each with its last attestation."""
    return render(request, "hgs/hosts.html", context(actor, "hosts", hosts=trust.hosts(actor)))


@page
def list_baselines(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Baselines."""
    values = context(actor, "baselines", artefacts=trust.baselines(actor))
    return render(request, "hgs/baselines.html", values)


@page
def list_ci_policies(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Code integrity policies."""
    values = context(actor, "ci-policies", artefacts=trust.ci_policies(actor))
    return render(request, "hgs/ci_policies.html", values)


@page
def list_policies(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The built-in policies and their state."""
    values = context(actor, "policies", policies=policies.policies(actor))
    return render(request, "hgs/policies.html", values)


@page
def list_attestations(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Attestations, newest first."""
    host = request.GET.get("host", "")
    found = _page(request, attestations.attestations(actor, host))
    return render(
        request,
        "hgs/attestations.html",
        context(actor, "attestations", page=found, host=host, page_query=urlencode({"host": host})),
    )


@page
def show_attestation(request: HttpRequest, actor: Actor, attestation_id: UUID) -> HttpResponse:
    """One attestation, check by check."""
    found = attestations.attestation(actor, attestation_id)
    return render(request, "hgs/attestation.html", context(actor, "attestations", attestation=found))


@page
def list_releases(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Every key released, and every one refused."""
    found = _page(request, releases.releases(actor))
    return render(request, "hgs/releases.html", context(actor, "releases", page=found))


@page
def list_keys(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Certificates of HGS, and the TPM makers it trusts."""
    values = context(
        actor,
        "keys",
        certificates=keys.certificates(actor),
        tpm_roots=trust.tpm_roots(actor),
    )
    return render(request, "hgs/keys.html", values)
