"""The fabric's API: its token submits and reads, and can do nothing else."""

import base64
import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import get_resolver

from hgs.models import Attestation, PolicyState, Submission, TpmHost
from portal.accounts.models import User
from tests.hgs.attestation.boots import CI_POLICY, Boot
from tests.hgs.service.conftest import TOKEN, Trusting
from tests.hgs.service.hosts import Host

SUBMISSIONS = "/fabric/v1/submissions"
PATHS = [
    "/fabric/v1/status",
    SUBMISSIONS,
    "/fabric/v1/attestations",
    "/fabric/v1/attestations/5f0c6c0e-8f7d-4a30-9a5e-0d9d1c5b7a11",
]


def submit(client: Client, **changes: Any) -> Any:
    body = {"kind": "ci-policy", "name": "hosts", "content": base64.b64encode(CI_POLICY).decode()} | changes
    return client.post(SUBMISSIONS, json.dumps(body), content_type="application/json", **TOKEN)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic fabric-token-for-tests-only", "Bearer ü"]
)
def test_without_the_token_nothing_opens(client: Client, initialised: None, path: str, header: str | None) -> None:
    extra = {} if header is None else {"HTTP_AUTHORIZATION": header}
    response = client.get(path, **extra)
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["code"] == "fabric-token"


def test_without_a_token_set_nothing_opens(client: Client, initialised: None, settings: Any) -> None:
    settings.HGS_FABRIC_TOKEN = ""
    assert client.get(PATHS[0], HTTP_AUTHORIZATION="Bearer ").status_code == 401


def test_a_session_is_no_token(signed_in: Client, initialised: None) -> None:
    assert signed_in.get(PATHS[0]).status_code == 401


def test_status_says_what_the_fabric_may_know(client: Client, fabric: Trusting) -> None:
    status = client.get("/fabric/v1/status", **TOKEN).json()
    assert (status["initialised"], status["mode"], status["hosts"]) == (True, "TPM", 1)
    assert len(status["guardian"]["signing_fingerprint"]) == 64
    assert status["auto_approve"] is False


def test_status_of_an_empty_hgs_is_an_answer(client: Client, db: None) -> None:
    assert client.get("/fabric/v1/status", **TOKEN).json()["initialised"] is False


def test_submitting_twice_asks_once(client: Client, initialised: None) -> None:
    first, second = submit(client), submit(client)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert first.json()["state"] == "pending"
    shown = client.get(first["Location"], **TOKEN)
    assert shown.json() == first.json()
    assert Submission.objects.get().submitted_by == "fabric"


def test_the_person_behind_a_submission_is_kept_beside_the_fabric(client: Client, initialised: None) -> None:
    submit(client, submitted_by="frank\n")
    assert Submission.objects.get().submitted_by == "fabric (frank)"


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "guardian"},
        {"kind": 1},
        {"name": "../x"},
        {"content": "%%%"},
        {"content": ""},
        {"state": "approved"},
        {"content": base64.b64encode(b"garbage").decode()},
    ],
)
def test_a_bad_submission_is_a_problem_with_its_reason(
    client: Client, initialised: None, changes: dict[str, Any]
) -> None:
    response = submit(client, **changes)
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["detail"]
    assert not Submission.objects.exists()


@pytest.mark.parametrize("body", [b"[]", b"nope", b"[" * 9999, b"{}"])
def test_what_is_not_json_is_a_problem(client: Client, initialised: None, body: bytes) -> None:
    response = client.post(SUBMISSIONS, body, content_type="application/json", **TOKEN)
    assert response.status_code == 400


def test_a_body_above_the_limit_is_not_read(client: Client, initialised: None) -> None:
    response = client.post(SUBMISSIONS, b" " * (5 * 2**20), content_type="application/json", **TOKEN)
    assert response.status_code == 413


def test_attestations_are_read_by_id_and_by_host(client: Client, fabric: Trusting, hv01: Host) -> None:
    reply = hv01.attest(client)
    one = client.get(f"/fabric/v1/attestations/{reply.headers['Attestation-Id']}", **TOKEN).json()
    assert (one["host_name"], one["passed"], one["status"]) == ("hv01", True, "Passed")
    assert one["verdict"]["checks"][0]["outcome"] == "passed"
    listed = client.get("/fabric/v1/attestations?host=HV01&limit=1", **TOKEN).json()["attestations"]
    assert listed == [one]
    assert client.get("/fabric/v1/attestations?host=hv02", **TOKEN).json()["attestations"] == []


@pytest.mark.parametrize("limit", ["0", "201", "x", "-1", "9" * 40, "²"])
def test_a_limit_out_of_range_is_a_problem(client: Client, initialised: None, limit: str) -> None:
    assert client.get("/fabric/v1/attestations", {"limit": limit}, **TOKEN).status_code == 400


def test_what_is_not_there_is_a_404_problem(client: Client, initialised: None) -> None:
    for kind in ("attestations", "submissions"):
        response = client.get(f"/fabric/v1/{kind}/{uuid4()}", **TOKEN)
        assert response.status_code == 404
        assert response.json()["code"].startswith("no-such-")


def test_the_token_approves_nothing_on_any_route(client: Client, initialised: None, admin: User) -> None:
    """Every route of HGS, by every method, with the token: what was submitted still waits, and nothing changed."""
    submission = Submission.objects.get(pk=submit(client).json()["id"])
    resolver = get_resolver("hgs.urls")
    names = [name for name in resolver.namespace_dict["hgs"][1].reverse_dict if isinstance(name, str)]
    assert "approve" in names
    from django.urls import reverse

    arguments = {
        "submission_id": submission.pk,
        "attestation_id": uuid4(),
        "host_id": uuid4(),
        "artefact_id": uuid4(),
        "group_id": uuid4(),
        "key_id": uuid4(),
        "root_id": uuid4(),
        "signer_id": uuid4(),
        "key": "ad",
        "identity": "0" * 64,
        "name": "Hgs_NoDumps",
    }
    for name in names:
        wanted = resolver.namespace_dict["hgs"][1].reverse_dict.getlist(name)[0][0][0][1]
        path = reverse(f"hgs:{name}", kwargs={key: arguments[key] for key in wanted})
        for method in (client.get, client.post, client.put, client.delete):
            method(path, **TOKEN)
    submission.refresh_from_db()
    assert submission.state == "pending"
    assert not TpmHost.objects.exists()
    assert not PolicyState.objects.exists()
    assert not Attestation.objects.exists()


# ---- capturing baselines -------------------------------------------------------------------------------------------


@pytest.fixture
def refused(client: Client, fabric: Trusting, hv01: Host) -> Attestation:
    hv01.restart(Boot(identity=hv01.tpm.identity.public_key(), revoked=()))
    hv01.attest(client)
    return Attestation.objects.get()


def post_json(client: Client, path: str, body: Any) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json", **TOKEN)


def test_the_fabric_captures_and_hgs_decides(client: Client, refused: Attestation) -> None:
    body = {"name": "r2", "submitted_by": "frank"}
    answer = post_json(client, f"/fabric/v1/attestations/{refused.pk}/capture", body)
    assert answer.status_code == 201
    told = answer.json()
    assert (told["state"], told["name"], told["captured_from"]) == ("pending", "r2", str(refused.pk))
    assert told["content_sha256"] == refused.log_id
    assert Submission.objects.get(pk=told["id"]).submitted_by == "fabric (frank)"


def test_the_fabric_captures_many(client: Client, refused: Attestation) -> None:
    answer = post_json(client, "/fabric/v1/captures", {"attestations": [str(refused.pk), str(uuid4())]})
    (told,) = answer.json()["captures"]
    assert (told["outcome"], told["hosts"], told["submission"]["state"]) == ("submitted", ["hv01"], "pending")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"attestations": []},
        {"attestations": "x"},
        {"attestations": ["x"]},
        {"attestations": [1]},
        {"attestations": [str(uuid4())] * 501},
        {"attestations": [str(uuid4())], "approve": "yes"},
    ],
)
def test_a_bad_capture_is_a_problem(client: Client, initialised: None, body: Any) -> None:
    assert post_json(client, "/fabric/v1/captures", body).status_code == 400


def test_what_cannot_be_captured_is_a_problem_with_its_reason(client: Client, fabric: Trusting, hv02: Host) -> None:
    hv02.begin(client)
    answer = post_json(client, f"/fabric/v1/attestations/{Attestation.objects.get().pk}/capture", {})
    assert answer.status_code == 409
    assert answer.json()["code"] == "nothing-to-capture"


def test_an_attestation_says_mode_and_version(client: Client, refused: Attestation) -> None:
    one = client.get(f"/fabric/v1/attestations/{refused.pk}", **TOKEN).json()
    assert (one["mode"], one["policy_version"], one["is_rehearsal"]) == ("tpm", 2, False)
    assert one["identity"] == one["ek_hash"]
    assert one["log_sha256"] == refused.log_id
