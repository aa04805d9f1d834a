"""Signing in and out, and how guessing is limited."""

import pytest
from django.test import Client

from portal.accounts import sign_in_limits
from portal.accounts.models import SignIn, User
from portal.kernel.models import AuditEvent
from tests.portal.conftest import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shown")]


def sign_in(client: Client, name: str, password: str = PASSWORD, **extra: str) -> int:
    return client.post("/account/sign-in/", {"username": name, "password": password, **extra}).status_code


def test_a_tenant_lands_on_all_items_and_an_operator_in_the_console(tenant: User, operator: User) -> None:
    client = Client()
    assert sign_in(client, tenant.username) == 302
    assert client.get("/").status_code == 200
    client = Client()
    assert sign_in(client, operator.username) == 302
    assert client.get("/").headers["Location"] == "/fabric/"


def test_signing_in_never_leads_to_another_site(tenant: User) -> None:
    response = Client().post(
        "/account/sign-in/", {"username": tenant.username, "password": PASSWORD, "next": "https://elsewhere.example/"}
    )
    assert response.headers["Location"] == "/"


def test_a_wrong_password_says_nothing_about_the_name(tenant: User) -> None:
    known = Client().post("/account/sign-in/", {"username": tenant.username, "password": "x"})
    unknown = Client().post("/account/sign-in/", {"username": "nobody", "password": "x"})
    sentence = b"do not belong together"
    assert known.status_code == unknown.status_code == 422
    assert sentence in known.content
    assert sentence in unknown.content


def test_guessing_is_stopped_per_account_even_with_the_right_password(tenant: User) -> None:
    for _ in range(sign_in_limits.PER_ACCOUNT.failures):
        assert sign_in(Client(), tenant.username, "wrong") == 422
    response = Client().post("/account/sign-in/", {"username": tenant.username, "password": PASSWORD})
    assert response.status_code == 429
    assert b"Try again in 5 minutes" in response.content


def test_guessing_is_stopped_per_address_whatever_the_name(tenant: User) -> None:
    for number in range(sign_in_limits.PER_ADDRESS.failures):
        assert sign_in(Client(), f"nobody{number}", "wrong") == 422
    assert sign_in(Client(), tenant.username) == 429
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert sign_in(elsewhere, tenant.username) == 302


def test_signing_in_forgets_the_failures_of_the_account(tenant: User) -> None:
    for _ in range(2):
        for _ in range(sign_in_limits.PER_ACCOUNT.failures - 1):
            sign_in(Client(), tenant.username, "wrong")
        assert sign_in(Client(), tenant.username) == 302


def test_a_session_is_listed_and_can_be_ended_from_elsewhere(tenant: User) -> None:
    here, there = Client(), Client(REMOTE_ADDR="192.0.2.9")
    sign_in(here, tenant.username)
    sign_in(there, tenant.username)
    assert b"192.0.2.9" in here.get("/account/sessions/").content
    here.post(f"/account/sessions/{SignIn.objects.get(address='192.0.2.9').pk}/end/")
    assert there.get("/account/").status_code == 302
    assert here.get("/account/").status_code == 200


def test_nobody_ends_the_session_of_another(tenant: User, as_outsider: Client) -> None:
    sign_in(Client(), tenant.username)
    row = SignIn.objects.get(user=tenant)
    assert as_outsider.post(f"/account/sessions/{row.pk}/end/").status_code == 404


def test_changing_the_password_ends_the_other_sessions(tenant: User) -> None:
    here, there = Client(), Client()
    sign_in(here, tenant.username)
    sign_in(there, tenant.username)
    new = "another long pass phrase"
    assert here.post("/account/password/", {"current": PASSWORD, "new": new}).status_code == 303
    assert here.get("/account/").status_code == 200
    assert there.get("/account/").status_code == 302
    assert sign_in(Client(), tenant.username, new) == 302


def test_a_password_is_not_changed_without_the_current_one(tenant: User, as_tenant: Client) -> None:
    response = as_tenant.post("/account/password/", {"current": "x", "new": "another long pass phrase"})
    assert response.status_code == 400
    assert b"This is not your password." in response.content


def test_signing_out_needs_a_post_and_is_audited(tenant: User) -> None:
    client = Client()
    sign_in(client, tenant.username)
    assert client.get("/account/sign-out/").status_code == 405
    client.post("/account/sign-out/")
    assert client.get("/account/").status_code == 302
    assert list(AuditEvent.objects.order_by("sequence").values_list("event", flat=True)) == [
        "session:begin",
        "session:end",
    ]
