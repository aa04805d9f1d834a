"""The API's frame: who gets in, what an error looks like, jobs, the description."""

import json

import pytest
from django.test import Client, RequestFactory
from rest_framework import exceptions
from rest_framework.response import Response

from portal.accounts import commands
from portal.accounts.models import User
from portal.api.problems import problem_response
from portal.kernel import jobs
from portal.kernel.actor import user_actor
from portal.kernel.errors import Conflict, DomainError, Invalid, NotFound, Unavailable
from portal.kernel.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shown")]


def bearer(user: User, **changes: bool) -> dict[str, str]:
    _, text = commands.create_token(user_actor(user), user, name="script", **changes)
    return {"Authorization": f"Bearer {text}"}


def make_job(user: User) -> Job:
    return jobs.create_job(
        user_actor(user), kind="create-vm", title="Create web02", scope=f"subscription:{user.username}",
        target_type="vm", target_id="1", target_name="web02", steps=[jobs.Step("place", "Choose a host")],
    )  # fmt: skip


def test_a_token_opens_the_api(tenant: User) -> None:
    answer = Client().get("/api/v1/", headers=bearer(tenant))
    assert answer.status_code == 200
    assert answer.json()["jobs"].endswith("/api/v1/jobs/")


def test_a_session_opens_the_api_too(as_tenant: Client) -> None:
    assert as_tenant.get("/api/v1/").status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer nonsense", "Bearer gf_0_0", "Bearer", "Bearer a b", "Bearer " + "x" * 5000]
)
def test_anybody_else_gets_401_as_a_problem(header: str) -> None:
    answer = Client().get("/api/v1/", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert json.loads(answer.content)["status"] == 401


def test_an_address_that_does_not_exist_is_a_problem_too(tenant: User) -> None:
    answer = Client().get("/api/v1/virtual-machine/1/", headers=bearer(tenant))
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "/api/docs/" in json.loads(answer.content)["advice"]


def test_an_address_that_does_not_exist_tells_a_stranger_nothing() -> None:
    assert Client().get("/api/v1/virtual-machine/1/").status_code == 401


def test_a_missing_token_is_answered_with_what_to_do() -> None:
    assert "gf" in json.loads(Client().get("/api/v1/").content)["advice"]


def test_jobs_are_those_of_the_caller(tenant: User, outsider: User, operator: User) -> None:
    job = make_job(tenant)
    address = f"/api/v1/jobs/{job.pk}/"
    assert Client().get(address, headers=bearer(tenant)).json()["steps"][0]["key"] == "place"
    assert Client().get(address, headers=bearer(outsider)).status_code == 404
    assert Client().get(address, headers=bearer(operator)).status_code == 200
    assert Client().get("/api/v1/jobs/", headers=bearer(outsider)).json()["count"] == 0


def test_a_failed_job_states_its_reason(tenant: User) -> None:
    job = make_job(tenant)
    jobs.fail(job.pk, code="no-eligible-host", message="No host is attested.", advice="Wait for one.")
    error = Client().get(f"/api/v1/jobs/{job.pk}/", headers=bearer(tenant)).json()["error"]
    assert error == {"code": "no-eligible-host", "message": "No host is attested.", "advice": "Wait for one."}


def test_the_description_is_complete_and_the_reference_needs_nothing_from_elsewhere(as_tenant: Client) -> None:
    described = as_tenant.get("/api/schema/?format=json").json()
    assert "/api/v1/jobs/{id}/" in described["paths"]
    assert "token" in described["components"]["securitySchemes"]
    page = as_tenant.get("/api/docs/").content.decode()
    assert "https://" not in page


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("no-such-vm", "There is no such VM."), 404, "no-such-vm"),
        (Conflict("busy", "It is busy.", "Wait."), 409, "busy"),
        (Unavailable("hgs-down", "HGS does not answer."), 503, "hgs-down"),
        (Invalid("bad", "Not valid.", fields={"name": "Taken."}), 400, "bad"),
    ],
)
def test_an_error_of_the_domain_becomes_a_problem(error: DomainError, status: int, code: str) -> None:
    request = RequestFactory().get("/")
    request.request_id = "abc"  # type: ignore[attr-defined]
    answer = problem_response(error, {"request": request})
    assert isinstance(answer, Response)
    assert answer.status_code == status
    assert answer.data["code"] == code
    assert answer.data["type"] == f"/api/problems/{code}"
    assert answer.data["detail"] == error.message
    assert answer.data["instance"] == "urn:request:abc"
    assert answer.data.get("fields", {}) == getattr(error, "fields", {})


def test_a_serializers_errors_are_flattened_to_fields() -> None:
    error = exceptions.ValidationError({"name": ["Too long."], "network": {"cidr": ["Not a network.", "Really."]}})
    answer = problem_response(error, {})
    assert answer is not None
    assert answer.data["fields"] == {"name": "Too long.", "network.cidr": "Not a network. Really."}


def test_a_fault_of_ours_is_not_dressed_as_a_problem() -> None:
    assert problem_response(ZeroDivisionError(), {}) is None
