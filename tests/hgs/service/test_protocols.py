"""Requests of hosts and of the fabric pass by what only pages need, and by nothing that guards them."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import get_resolver

from hgs.api.protocols import ProtocolsFirst
from tests.hgs.service.conftest import TOKEN

INFO = "/Attestation/getinfo"
METADATA = "/KeyProtection/service/metadata/2014-07/metadata.xml"


@pytest.fixture
def nothing_behind(settings: Any) -> None:
    """Middleware that fails whatever reaches it."""
    at = settings.MIDDLEWARE.index("hgs.api.protocols.ProtocolsFirst") + 1
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:at], "tests.hgs.service.test_protocols.not_to_be_reached"]


def not_to_be_reached(_get_response: Any) -> Any:
    def refuse(_request: HttpRequest) -> HttpResponse:
        return HttpResponse("the middleware of pages", status=418)

    return refuse


@pytest.mark.parametrize(
    "path", [INFO, METADATA, "/ATTESTATION/AttestationService.svc/v2.0/GetInfo/", "/fabric/v1/status"]
)
def test_a_protocol_is_answered_before_the_middleware_of_pages(
    client: Client, initialised: None, nothing_behind: None, path: str
) -> None:
    response = client.get(path, **TOKEN)
    assert response.status_code == 200
    assert int(response["Content-Length"]) == len(response.content)


@pytest.mark.parametrize("path", ["/console/", "/Attestation/nothing-of-ours", "/"])
def test_pages_go_their_usual_way(client: Client, initialised: None, nothing_behind: None, path: str) -> None:
    assert client.get(path).status_code == 418


def test_a_view_that_looks_at_cookies_goes_the_usual_way(rf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    match = get_resolver("hgs.urls").resolve(INFO)
    monkeypatch.setattr(match, "func", lambda _request: HttpResponse("called"))
    monkeypatch.setattr("hgs.api.protocols._resolved", lambda _path: match)
    answer = ProtocolsFirst(lambda _request: HttpResponse("usual way"))(rf.get(INFO))
    assert answer.content == b"usual way"  # type: ignore[attr-defined]


def test_a_host_name_that_is_not_ours_is_refused(client: Client, initialised: None) -> None:
    assert client.get(INFO, headers={"host": "attacker.example"}).status_code == 400


def test_https_is_asked_for_where_it_is_set(client: Client, initialised: None, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    response = client.get(INFO)
    assert response.status_code == 301
    assert response["Location"].startswith("https://")


def test_what_a_browser_shall_not_guess_is_said(client: Client, initialised: None) -> None:
    assert client.get(INFO)["X-Content-Type-Options"] == "nosniff"
