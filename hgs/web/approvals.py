"""Pages about what waits for a decision: the list, one submission with its diff, and deciding about many."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from hgs.commands.decisions import approve_many, reject_many
from hgs.models import SubmissionState
from hgs.policy import Action, may, may_decide
from hgs.selectors import changes, submissions
from hgs.web.access import context, form, page
from hgs.web.lists import chosen_ids, page_of
from portal.kernel.actor import Actor
from portal.kernel.policy import require

MOST_AT_ONCE = 100


@page
def list_submissions(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Submissions of one state, the pending ones first of all."""
    state = request.GET.get("state", SubmissionState.PENDING.value)
    found = page_of(request, submissions.submissions(actor, state))
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
        difference=changes.difference(actor, submission),
        forecast=changes.forecast(actor, submission),
        may_decide=bool(decision),
        why_not=getattr(decision, "reason", ""),
    )
    return render(request, "hgs/submission.html", values)


@form("hgs:approvals")
def decide_many(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Approve or reject several submissions.

    The ids are frozen in the question, so that what is decided is what was read, whatever waits by then.
    """
    require(may(actor, Action.DECIDE))
    chosen = submissions.chosen(actor, chosen_ids(request)[:MOST_AT_ONCE])
    if not chosen:
        return redirect("hgs:approvals")
    if request.method != "POST":
        items = [(one, submissions.preview(actor, one), changes.difference(actor, one)) for one in chosen]
        return render(request, "hgs/decide.html", context(actor, "approvals", items=items))
    approving = request.POST.get("decision") == "approve"
    reason = " ".join(request.POST.get("reason", "").split())
    decided = approve_many(actor, chosen) if approving else reject_many(actor, chosen, reason)
    values = context(actor, "approvals", decided=decided, word="approved" if approving else "rejected")
    return render(request, "hgs/decided.html", values)
