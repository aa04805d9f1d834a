"""What a person is asked before something changes, on a page of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from hgs.selectors.dependents import Dependents
from hgs.selectors.dry_run import ModeForecast
from hgs.selectors.policy_dry_run import PolicyForecast
from hgs.web.access import context
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid


@dataclass(frozen=True)
class Question:
    """What would change, with which consequences, and how hosts would fare.

    ``choice``: a box to tick, sent as the field ``choice`` with the value ``yes``. ``typed``: what is to be typed, for
    what cannot be taken back (the field ``typed``). ``dependents``: what would be lost; how many were shown comes back
    as the field ``seen``. ``asks_moment``: a moment in UTC can be given (the field ``moment``).
    """

    title: str
    submit: str
    back: str
    rail: str
    sentences: Sequence[str] = ()
    notes: Sequence[str] = ()
    forecast: PolicyForecast | None = None
    mode_forecast: ModeForecast | None = None
    dependents: Dependents | None = None
    choice: str = ""
    is_chosen: bool = False
    typed: str = ""
    asks_moment: bool = False
    is_danger: bool = False


def ask(request: HttpRequest, actor: Actor, question: Question) -> HttpResponse:
    """The page of a question."""
    return render(request, "hgs/confirm.html", context(actor, question.rail, question=question))


def done(request: HttpRequest, sentence: str, back: str) -> HttpResponse:
    """Say what was done, on the page that led to the question."""
    messages.success(request, sentence)
    return redirect(back)


def is_meant(request: HttpRequest, question: Question) -> bool:
    """Whether what would be lost was shown and is meant. Raises Invalid and Conflict where it is not clear.

    False where nothing would be lost.
    """
    if question.typed and request.POST.get("typed", "").replace(" ", "").lower() != question.typed.lower():
        raise Invalid("not-typed", f"Nothing was changed: {question.typed} was not typed.")
    count = question.dependents.count if question.dependents else 0
    if request.POST.get("seen", "0") != str(count):
        raise Conflict("dependents-changed", "Nothing was changed: by now something else depends on it. Look again.")
    return count > 0
