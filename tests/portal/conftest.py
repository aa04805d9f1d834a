"""The cast of the portal's tests: a tenant, another tenant, a fabric administrator; and an application to show."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import clear_url_caches

from portal.accounts.models import User
from portal.kernel.actor import Role
from portal.web import registry
from tests.portal.web import showcase

PASSWORD = "correct horse battery staple"


def make_user(name: str, role: Role) -> User:
    return User.objects.create_user(username=name, password=PASSWORD, role=role.value)


@pytest.fixture
def tenant(db: None) -> User:
    return make_user("anna", Role.TENANT)


@pytest.fixture
def outsider(db: None) -> User:
    return make_user("oscar", Role.TENANT)


@pytest.fixture
def operator(db: None) -> User:
    return make_user("frida", Role.FABRIC_ADMIN)


@pytest.fixture
def as_tenant(tenant: User) -> Client:
    client = Client()
    client.force_login(tenant)
    return client


@pytest.fixture
def as_outsider(outsider: User) -> Client:
    client = Client()
    client.force_login(outsider)
    return client


@pytest.fixture
def as_operator(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture(autouse=True)
def no_earlier_failures() -> None:
    cache.clear()


@pytest.fixture
def shown(settings: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The shell with the showcase as its only application."""
    monkeypatch.setattr(registry, "_entries", {})
    registry.register(*showcase.ENTRIES)
    settings.ROOT_URLCONF = "tests.portal.web.showcase"  # type: ignore[attr-defined]
    clear_url_caches()
    showcase.fill()
    yield
    clear_url_caches()
