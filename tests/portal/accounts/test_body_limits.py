"""How much a request may carry, by who sends it; what is too much is not even read."""

from typing import Any

import pytest
from django.http import HttpResponseBase
from django.test import Client

from portal.accounts import commands
from portal.accounts.body_limits import ANONYMOUS_MOST, MOST
from portal.accounts.models import User
from portal.kernel.actor import user_actor

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shown")]


class Body:
    """A body that notes whether anybody read it."""

    def __init__(self) -> None:
        self.was_read = False

    def read(self, *_: Any) -> bytes:
        self.was_read = True
        return b""

    readline = read


def send(
    client: Client, path: str, length: int | str, kind: str = "multipart/form-data; boundary=x"
) -> tuple[HttpResponseBase, bool]:
    """POST a body that announces `length` bytes; the answer, and whether the body was read."""
    body = Body()
    client.cookies["gf_all_csrf"] = "a" * 32
    extra: dict[str, Any] = {"CONTENT_TYPE": kind, "CONTENT_LENGTH": str(length), "wsgi.input": body}
    return client.generic("POST", path, **extra), body.was_read


@pytest.mark.parametrize("path", ["/account/sign-in/", "/account/password/"])
def test_a_stranger_cannot_fill_the_disk_with_a_form(path: str) -> None:
    answer, was_read = send(Client(enforce_csrf_checks=True), path, ANONYMOUS_MOST + 1)
    assert (answer.status_code, was_read) == (413, False)
    assert b"64 KiB" in getattr(answer, "content", b"")


@pytest.mark.parametrize("length", ["-1", "²", "many"])
def test_a_length_that_is_no_number_is_too_large(length: str) -> None:
    answer, was_read = send(Client(enforce_csrf_checks=True), "/account/sign-in/", length)
    assert (answer.status_code, was_read) == (413, False)


def test_what_is_not_too_large_is_read() -> None:
    _, was_read = send(Client(enforce_csrf_checks=True), "/account/sign-in/", ANONYMOUS_MOST)
    assert was_read


@pytest.mark.parametrize("path", ["/account/password/", "/api/v1/"])
def test_a_tenant_sends_no_more_than_shielding_data_needs(as_tenant: Client, path: str) -> None:
    answer, was_read = send(as_tenant, path, MOST + 1)
    assert (answer.status_code, was_read) == (413, False)


def test_a_tenants_token_carries_no_further(tenant: User) -> None:
    _, text = commands.create_token(user_actor(tenant), tenant, name="script")
    client = Client(headers={"Authorization": f"Bearer {text}"})
    answer, was_read = send(client, "/api/v1/jobs/", MOST + 1, "application/json")
    assert (answer.status_code, was_read) == (413, False)
    assert b"4 MiB" in getattr(answer, "content", b"")


def test_an_operator_may_publish_disks(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    _, was_read = send(client, "/account/password/", 2**40)
    assert was_read


def test_a_stranger_at_the_api_is_not_read_either() -> None:
    answer, was_read = send(Client(), "/api/v1/", 2**40)
    assert (answer.status_code, was_read) == (401, False)
