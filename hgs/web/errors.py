"""Pages for what went wrong. They look at nothing but the request, so that they work when little else does."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def _page(request: HttpRequest, status: int, title: str, sentence: str) -> HttpResponse:
    return render(request, "hgs/error.html", {"title": title, "sentence": sentence}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django passes it by name
    """400"""
    return _page(request, 400, "This request makes no sense", "HGS cannot read it.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django passes it by name
    """403"""
    return _page(request, 403, "Not allowed", "Your account may not do this.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django passes it by name
    """403 for a form that was not sent from HGS's own page, or long after it was opened."""
    return _page(request, 403, "Not done", "The form was out of date. Go back, reload the page and try again.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django passes it by name
    """404"""
    return _page(request, 404, "Not found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """500"""
    sentence = "HGS met a fault of its own. Nothing was changed. Its log says more, at this minute."
    return _page(request, 500, "Something broke", sentence)
