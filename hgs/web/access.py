"""Who may open a page of the HGS console: a person of HGS, signed in at HGS, whose role allows the page's action."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Concatenate, Final, ParamSpec

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from hgs.policy import Action, may
from hgs.selectors.submissions import pending_count
from portal.kernel.actor import Actor, user_actor
from portal.kernel.errors import DomainError, NotFound
from portal.kernel.policy import Denial

_P = ParamSpec("_P")
_View = Callable[Concatenate[HttpRequest, Actor, _P], HttpResponse]
_Route = Callable[Concatenate[HttpRequest, _P], HttpResponse]


def _actor(request: HttpRequest) -> Actor | None:
    return user_actor(request.user) if request.user.is_authenticated else None


def _shown(guarded: _Route[_P], view: Callable[..., Any], methods: list[str]) -> _Route[_P]:
    """A route under the view's own name: never cached, for these methods alone."""
    update_wrapper(guarded, view)
    return never_cache(require_http_methods(methods)(guarded))


def page(view: _View[_P]) -> _Route[_P]:
    """A page to look at (GET), for people of HGS. What cannot be shown is a page that says why, with its status."""

    def guarded(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponse:
        actor = _actor(request)
        if actor is None:
            return redirect_to_login(request.get_full_path(), reverse("hgs:sign-in"))
        decision = may(actor, Action.READ)
        if isinstance(decision, Denial):
            return render(request, "hgs/denied.html", {"reason": decision.reason}, status=403)
        try:
            return view(request, actor, *args, **kwargs)
        except DomainError as error:
            return render(request, "hgs/not_found.html", context(actor, "", error=error), status=error.status)

    return _shown(guarded, view, ["GET", "HEAD"])


def deed(back_to: str) -> Callable[[Callable[Concatenate[HttpRequest, Actor, _P], str]], _Route[_P]]:
    """A change (POST, CSRF-checked). The wrapped function runs a command and returns the sentence to show.

    The command itself decides about rights. Errors become messages; either way the browser goes to ``back_to``.
    """

    def decorate(view: Callable[Concatenate[HttpRequest, Actor, _P], str]) -> _Route[_P]:
        def guarded(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponse:
            actor = _actor(request)
            if actor is None:
                return redirect_to_login(reverse(back_to), reverse("hgs:sign-in"))
            try:
                messages.success(request, view(request, actor, *args, **kwargs))
            except DomainError as error:
                messages.error(request, f"{error.message} {error.advice}".strip())
            return redirect(back_to)

        return _shown(guarded, view, ["POST"])

    return decorate


def form(back_to: str) -> Callable[[_View[_P]], _Route[_P]]:
    """A change that is asked for and answered on one page: GET shows what would happen, POST does it.

    The command itself decides about rights; its errors become messages and lead to ``back_to``.
    """

    def decorate(view: _View[_P]) -> _Route[_P]:
        def guarded(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponse:
            actor = _actor(request)
            if actor is None:
                return redirect_to_login(reverse(back_to), reverse("hgs:sign-in"))
            decision = may(actor, Action.READ)
            if isinstance(decision, Denial):
                return render(request, "hgs/denied.html", {"reason": decision.reason}, status=403)
            try:
                return view(request, actor, *args, **kwargs)
            except NotFound as error:
                return render(request, "hgs/not_found.html", context(actor, "", error=error), status=404)
            except DomainError as error:
                messages.error(request, f"{error.message} {error.advice}".strip())
                return redirect(back_to)

        return _shown(guarded, view, ["GET", "HEAD", "POST"])

    return decorate


RAIL: Final = (
    ("overview", "hgs:overview", "Overview"),
    ("approvals", "hgs:approvals", "Approvals"),
    ("hosts", "hgs:hosts", "Hosts"),
    ("baselines", "hgs:baselines", "Baselines"),
    ("ci-policies", "hgs:ci-policies", "CI policies"),
    ("dump-keys", "hgs:dump-keys", "Dump keys"),
    ("policies", "hgs:policies", "Policies"),
    ("mode", "hgs:mode", "Mode"),
    ("attestations", "hgs:attestations", "Attestations"),
    ("releases", "hgs:releases", "Key releases"),
    ("keys", "hgs:keys", "Certificates"),
    ("diagnostics", "hgs:diagnostics", "Diagnostics"),
)


def context(actor: Actor, current: str, **more: Any) -> dict[str, Any]:
    """What every page needs: the rail and its current entry, the banner, and whether this person may change things."""
    return {
        "actor": actor,
        "rail": RAIL,
        "current": current,
        "pending": pending_count(actor),
        "auto_approve": settings.HGS_AUTO_APPROVE,
        "may_change": bool(may(actor, Action.DECIDE)),
    } | more
