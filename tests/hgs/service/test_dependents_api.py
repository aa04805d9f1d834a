"""What the fabric says that still names a guardian: taken from its token alone, whole or not at all."""

from uuid import uuid4

import pytest
from django.test import Client

from hgs.models import DependentsReport
from tests.hgs.service.conftest import TOKEN

PATH = "/fabric/v1/dependents"


def entry(**changes: object) -> dict[str, object]:
    usual = {"kind": "vm", "id": str(uuid4()), "name": "web01", "owner_fingerprint": "a" * 64, "guardians": ["b" * 64]}
    return usual | changes


def put(client: Client, body: object, **headers: str) -> int:
    status: int = client.put(PATH, body, content_type="application/json", **(headers or TOKEN)).status_code  # type: ignore[arg-type]
    return status


def test_a_list_takes_the_place_of_the_one_before(client: Client, initialised: None) -> None:
    assert put(client, {"dependents": [entry(), entry(kind="shielding-data", id="web.pdk")]}) == 200
    assert put(client, {"dependents": [entry(name="web02")]}) == 200
    assert [found["name"] for found in DependentsReport.objects.get().dependents] == ["web02"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"dependents": [], "more": 1},
        {"dependents": "x"},
        {"dependents": [{}]},
        {"dependents": [entry(guardians=["x"])]},
        {"dependents": [entry(kind="host")]},
    ],
    ids=["list", "empty", "more", "text", "bare", "guardian", "kind"],
)
def test_what_is_no_list_of_dependents_changes_nothing(client: Client, initialised: None, body: object) -> None:
    put(client, {"dependents": [entry(name="kept")]})
    assert put(client, body) in (400, 422)
    assert [found["name"] for found in DependentsReport.objects.get().dependents] == ["kept"]


def test_ten_thousand_are_taken(client: Client, initialised: None) -> None:
    assert put(client, {"dependents": [entry(guardians=["b" * 64, "c" * 64]) for _ in range(10_000)]}) == 200


def test_strangers_report_nothing(client: Client, initialised: None) -> None:
    assert client.put(PATH, {"dependents": []}, content_type="application/json").status_code == 401
    assert put(client, {"dependents": []}, HTTP_AUTHORIZATION="Bearer wrong") == 401
    assert not DependentsReport.objects.exists()
