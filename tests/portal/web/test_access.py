"""Every route has a decision, and every decision holds."""

import re
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from portal.web.access import Access, decision_of

# Routes anybody may open, each with its reason. Add to this list only what must work before sign-in.
PUBLIC = {
    "livez": "asked by what watches the process, says nothing but that it lives",
    "readyz": "the same for what it needs",
    "account/sign-in/": "the way in",
    "preferences/theme/": "the theme is chosen on the sign-in page too",
    "preferences/language/": "so is the language",
}
# Parts of the address space that belong to HGS, which has its own sign-in and its own test of its decisions.
FOREIGN_APPS = {"hgs"}


def routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for each in patterns:
        if isinstance(each, URLResolver):
            if (each.app_name or "") in FOREIGN_APPS or "hgs" in str(getattr(each.urlconf_module, "__name__", "")):
                continue
            yield from routes(each.url_patterns, prefix + str(each.pattern))
        else:
            yield prefix + str(each.pattern), each


def all_routes() -> list[tuple[str, URLPattern]]:
    return list(routes(get_resolver().url_patterns))


def address_of(route: str) -> str:
    """An address that a route matches."""
    samples = {"uuid": "00000000-0000-4000-8000-000000000000", "int": "1", "slug": "x", "str": "x", "path": "x"}
    route = re.sub(r"\(\?P<\w+>[^)]*\)", "a" * 64, route).replace("^", "").replace("$", "").replace("\\Z", "")
    while "<" in route:
        before, _, rest = route.partition("<")
        inner, _, after = rest.partition(">")
        route = before + samples.get(inner.partition(":")[0] if ":" in inner else "str", "a" * 64) + after
    return "/" + route


def test_every_route_has_a_decision() -> None:
    undecided = [route for route, pattern in all_routes() if decision_of(pattern.callback) is None]
    assert undecided == []


def test_only_the_listed_routes_are_public() -> None:
    public = {route for route, pattern in all_routes() if decision_of(pattern.callback) is Access.PUBLIC}
    assert public == set(PUBLIC)


@pytest.mark.django_db
def test_an_anonymous_visitor_is_asked_to_sign_in_everywhere_else() -> None:
    client = Client()
    for route, pattern in all_routes():
        if decision_of(pattern.callback) is Access.PUBLIC:
            continue
        response = client.get(address_of(route))
        asked = response.status_code == 302 and response.headers["Location"].startswith("/account/sign-in/")
        assert asked or response.status_code in (401, 405), f"{route}: {response.status_code}"


@pytest.mark.django_db
@pytest.mark.parametrize(("access", "other"), [(Access.FABRIC, "as_tenant"), (Access.TENANT, "as_operator")])
def test_the_other_portal_is_not_found(access: Access, other: str, request: pytest.FixtureRequest) -> None:
    client: Client = request.getfixturevalue(other)
    found = [route for route, pattern in all_routes() if decision_of(pattern.callback) is access]
    assert found
    for route in found:
        assert client.get(address_of(route)).status_code in (404, 405), route


@pytest.mark.django_db
def test_a_fragment_asked_for_without_a_session_is_refused_rather_than_redirected() -> None:
    response = Client().get("/live/", headers={"HX-Request": "true"})
    assert response.status_code == 401


@pytest.mark.django_db
@pytest.mark.usefixtures("shown")
def test_a_route_without_a_decision_is_closed(as_tenant: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.portal.web import showcase

    assert as_tenant.get("/machines/").status_code == 200
    monkeypatch.setattr(showcase.MachineList, "access", None)
    assert as_tenant.get("/machines/").status_code == 404
