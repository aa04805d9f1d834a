"""Requests of hosts and of the fabric, answered before anything that only pages need.

The wire protocols and the fabric's API know no cookies, sessions, languages or forms: the evidence or the token in the
request is all that counts. So they pass by the middleware of the console, which takes longer than reading a request.
What guards every request stays: HTTPS (SecurityMiddleware, which stands before this) and the host name.
"""

from collections.abc import Callable
from functools import lru_cache

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, resolve

from hgs.api.urls import PREFIXES


class ProtocolsFirst:
    """Middleware: calls the view of a protocol itself; everything else goes its usual way."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, with the length that keeps the connection open. Raises what the view raises."""
        if not request.path_info.lower().startswith(PREFIXES):
            return self.get_response(request)
        try:
            match = _resolved(request.path_info)
        except Resolver404:
            return self.get_response(request)  # the page that says so
        if not getattr(match.func, "csrf_exempt", False):
            return self.get_response(request)  # whatever looks at cookies needs what stands behind this
        request.get_host()
        request.resolver_match = match
        response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
        if isinstance(response, HttpResponse) and not response.has_header("Content-Length"):
            response["Content-Length"] = str(len(response.content))
        return response


@lru_cache(maxsize=256)
def _resolved(path: str) -> ResolverMatch:
    """Kept, because most requests go to a few addresses; nothing writes to what it gives. Raises Resolver404."""
    return resolve(path)
