"""What hosts and the fabric may send: bounded where it is kept, answered where it is odd."""

import json
from dataclasses import replace

import pytest
from django.test import Client

from hgs.api import fabric as fabric_api
from hgs.models import Attestation
from hgs.wire import hgsa
from portal.kernel.models import AuditEvent
from tests.hgs.service.conftest import TOKEN, Trusting
from tests.hgs.service.hosts import Host


def test_a_malicious_host_writes_little(client: Client, fabric: Trusting, hv01: Host) -> None:
    # Every record is a value in the evidence.
    hv01.restart(replace(hv01.boot, transfers=(1,) * 1500, custom_policy=b"\x07" * 20_000, authority=b"x" * 50_000))
    hv01.attest(client)
    stored = Attestation.objects.get()
    assert not stored.passed
    assert len(json.dumps(stored.verdict)) < 60_000
    event = AuditEvent.objects.get(event="attestation:failed")
    assert len(event.summary) <= 300
    assert event.summary.startswith("hv01: ")


def test_an_oversized_secure_boot_variable_is_refused_and_audited(client: Client, fabric: Trusting, hv01: Host) -> None:
    hv01.restart(replace(hv01.boot, secure_boot=b"\x02" * 300_000))
    assert hv01.attest(client).message == hgsa.TcgLogValidationErrorReply(False)
    assert len(json.dumps(Attestation.objects.get().verdict)) < 20_000
    assert AuditEvent.objects.filter(event="attestation:failed").count() == 1


def test_a_list_of_attestations_has_a_size_that_the_portal_takes(
    client: Client, fabric: Trusting, hv01: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        hv01.attest(client)
    everything = client.get("/fabric/v1/attestations", {"limit": "9"}, **TOKEN)
    ids = [item["id"] for item in everything.json()["attestations"]]
    assert len(ids) == 4
    monkeypatch.setattr(fabric_api, "MAX_LIST", len(everything.content) // 2 + 20)
    shorter = client.get("/fabric/v1/attestations", {"limit": "9"}, **TOKEN)
    assert [item["id"] for item in shorter.json()["attestations"]] == ids[:2]
    assert len(shorter.content) <= fabric_api.MAX_LIST
    monkeypatch.setattr(fabric_api, "MAX_LIST", 1)
    assert len(client.get("/fabric/v1/attestations", **TOKEN).json()["attestations"]) == 1


@pytest.mark.parametrize("limit", ["000020" + "9" * 5000, "00002099", "0000200", "999999999"])
def test_a_limit_of_any_length_is_a_problem(client: Client, initialised: None, limit: str) -> None:
    reply = client.get("/fabric/v1/attestations", {"limit": limit}, **TOKEN)
    assert (reply.status_code, reply.json()["code"]) == (400, "limit")


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 01 Jan 2024 00:00:00 +9999999999999999",
        "Mon, 01 Jan 2024 00:00:00 +9999",
        "Mon, 01 Jan 0000 00:00:00 +0000",
        "Mon, 01 Jan 99999999999 00:00:00 +0000",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon",
        "x" * 64,
    ],
)
def test_a_date_that_is_none_is_no_reason_to_fail(client: Client, fabric: Trusting, hv01: Host, date: str) -> None:
    client.defaults["HTTP_DATE"] = date
    assert hv01.attest(client).status == 200


def test_a_tpm_request_for_nothing_is_a_payload_error_and_no_verdict(
    client: Client, fabric: Trusting, hv01: Host
) -> None:
    context = hv01.second(client)
    reply = hv01.send(client, context, requested=())
    assert (reply.status, reply.message) == (400, hgsa.PayloadErrorReply(False))
    assert not Attestation.objects.exists()
    assert hv01.send(client, context).status == 200
