"""The page of the account of keys: every release and refusal with its filters, and the log's card."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from hgs.selectors import releases
from hgs.web.access import context, page
from hgs.web.lists import page_of
from portal.kernel.actor import Actor

_FILTERS = ("host", "owner", "vm", "result", "since", "until")
_RESULTS = tuple((value, value.capitalize()) for value in releases.RESULTS)


@page
def list_releases(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Every key released, and every one refused, newest first, filtered by what the address says."""
    filters = {name: request.GET.get(name, "").strip()[:100] for name in _FILTERS}
    values = context(
        actor,
        "releases",
        page=page_of(request, releases.filtered(actor, **filters)),
        log=releases.key_log_card(actor),
        filters=filters,
        filtered=any(filters.values()),
        results=_RESULTS,
        page_query=urlencode({name: value for name, value in filters.items() if value}),
    )
    return render(request, "hgs/releases.html", values)
