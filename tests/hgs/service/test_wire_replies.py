"""Every reply of MS-HGSA over HTTP: which situation gives which, with which status, in which form."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import DatabaseError
from django.test import Client

from hgs.commands.mode import set_mode
from hgs.commands.submissions import approve, submit
from hgs.models import OperationMode, PolicyVersion
from hgs.wire import hgsa
from hgs.wire.rtpm import BlobType, RtpmContext
from tests.hgs.attestation.tpm_hosts import with_blob
from tests.hgs.service.conftest import ADMIN, FABRIC, Clock, Trusting
from tests.hgs.service.hosts import ATTEST, ENCRYPTION, Host, Reply, make_tpm

pytestmark = pytest.mark.django_db
SERVICE = "/Attestation"
ENDPOINTS = {
    OperationMode.TPM: (f"{SERVICE}/v1.0/attest", f"{SERVICE}/v2.0/attest"),
    OperationMode.ACTIVE_DIRECTORY: (f"{SERVICE}/v1.0/domainattest", f"{SERVICE}/v2.0/domainattest"),
    OperationMode.HOST_KEY: (f"{SERVICE}/v2.0/hostkeyattest",),
}
INTERMEDIATE = hgsa.AttestationResultType.VSM_CA_INTERMEDIATE_CERTIFICATE


def asks_for_nothing_readable(client: Client, host: Host, _: Clock) -> Reply:
    response = client.post(ATTEST, b"{}", content_type="application/json")
    return Reply(response.status_code, hgsa.parse_message(response.content), dict(response.headers))


def is_unknown(client: Client, host: Host, _: Clock) -> Reply:
    return Host("hv09", make_tpm(host.tpm.identity), host.manufacturer, host.boot).begin(client)


def opens_no_credential(client: Client, host: Host, _: Clock) -> Reply:
    return host.send(client, with_blob(host.second(client), BlobType.ACTIVATED_SECRET, lambda value: bytes(len(value))))


def is_too_slow(client: Client, host: Host, clock: Clock) -> Reply:
    second = host.second(client)
    clock.forward(seconds=121)
    return host.send(client, second)


def shows_another_log(client: Client, host: Host, _: Clock) -> Reply:
    other = replace(host.boot, dumps_disabled=False).log().build().serialise()
    return host.send(client, with_blob(host.second(client), BlobType.WBCL, lambda _value: other))


def has_another_identity_key(client: Client, host: Host, _: Clock) -> Reply:
    host.tpm.identity = rsa.generate_private_key(65537, 2048)
    return host.attest(client)


def asks_for_an_intermediate(client: Client, host: Host, _: Clock) -> Reply:
    return host.send(client, host.second(client), requested=(INTERMEDIATE,))


def booted_without_secure_boot(client: Client, host: Host, _: Clock) -> Reply:
    host.restart(replace(host.boot, secure_boot=b"\x00"))
    return host.attest(client)


def is_healthy(client: Client, host: Host, _: Clock) -> Reply:
    return host.attest(client)


def has_begun(client: Client, host: Host, _: Clock) -> Reply:
    return host.begin(client)


def meets_another_mode(client: Client, host: Host, _: Clock) -> Reply:
    set_mode(ADMIN, OperationMode.HOST_KEY)
    return host.begin(client)


@pytest.mark.parametrize(
    ("situation", "kind", "status", "is_retryable"),
    [
        (has_begun, hgsa.TpmReplyContinue, 200, None),
        (is_healthy, hgsa.HealthCertificateReply, 200, None),
        (asks_for_nothing_readable, hgsa.PayloadErrorReply, 400, False),
        (opens_no_credential, hgsa.RtpmErrorReply, 400, False),
        (is_too_slow, hgsa.RtpmErrorReply, 400, True),
        (shows_another_log, hgsa.TcgLogValidationErrorReply, 400, False),
        (has_another_identity_key, hgsa.VirtualSecureModeErrorReply, 400, False),
        (asks_for_an_intermediate, hgsa.VsmReportValidationErrorReply, 400, False),
        (is_unknown, hgsa.UnauthorizedErrorReply, 403, False),
        (booted_without_secure_boot, hgsa.PolicyEvaluationErrorReply, 403, False),
        (meets_another_mode, hgsa.OperationModeErrorReply, 409, False),
    ],
)
def test_each_situation_has_its_reply_and_status(
    client: Client,
    fabric: Trusting,
    hv01: Host,
    clock: Clock,
    situation: Callable[[Client, Host, Clock], Reply],
    kind: type[hgsa.Message],
    status: int,
    is_retryable: bool | None,
) -> None:
    reply = situation(client, hv01, clock)
    assert (type(reply.message), reply.status) == (kind, status)
    assert getattr(reply.message, "retryable", None) is is_retryable


def test_every_error_reply_of_the_specification_is_in_a_table() -> None:
    from hgs.api.hgsa import STATUS

    kinds = set(hgsa.ErrorReply.__subclasses__())
    assert kinds <= set(STATUS)
    assert len(kinds) == 9


def test_without_a_database_the_service_is_unavailable(
    client: Client, fabric: Trusting, hv01: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = hv01.second(client)

    def broken(*_: Any, **__: Any) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr("hgs.commands.attest.store", broken)
    reply = hv01.send(client, second)
    assert (reply.status, reply.message) == (503, hgsa.UnavailableErrorReply(True))


def test_policy_failures_are_named_by_their_guids(client: Client, fabric: Trusting, hv01: Host) -> None:
    hv01.restart(replace(hv01.boot, secure_boot=b"\x00", iommu=False))
    message = hv01.attest(client).message
    assert isinstance(message, hgsa.PolicyEvaluationErrorReply)
    failed = {item.reason for item in message.reasons if not item.result}
    assert {UUID("6a460ee1-62ea-416f-ae6c-04e29634506d"), UUID("da0776e5-6570-44b3-9a17-7e95b4fc7779")} <= failed
    assert UUID("2a796e36-e918-454f-b610-60f086e8d334") in {item.reason for item in message.reasons if item.result}


# ---- modes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(OperationMode))
def test_each_endpoint_of_another_mode_names_the_mode_in_force(
    client: Client, initialised: None, mode: OperationMode
) -> None:
    set_mode(ADMIN, mode)
    for needed, paths in ENDPOINTS.items():
        for path in paths:
            response = client.post(path, b"{}", content_type="application/json")
            if needed is mode:
                assert response.status_code in (400, 401, 503)
            else:
                expected = hgsa.OperationModeErrorReply(False, hgsa.AttestationOperationMode(mode))
                assert (response.status_code, hgsa.parse_message(response.content)) == (409, expected)


# ---- paths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "resource"),
    [
        ("GET", "getinfo"),
        ("GET", "v2.0/signingCertificates"),
        ("POST", "v1.0/attest"),
        ("POST", "v2.0/attest"),
        ("POST", "v1.0/domainattest"),
        ("POST", "v2.0/domainattest"),
        ("POST", "v2.0/hostkeyattest"),
        ("POST", "rehearsal/v1.0/attest"),
        ("POST", "rehearsal/v2.0/attest"),
        ("POST", "rehearsal/v2.0/domainattest"),
        ("POST", "rehearsal/v2.0/hostkeyattest"),
    ],
)
def test_a_resource_is_found_however_its_path_is_written(
    client: Client, initialised: None, method: str, resource: str
) -> None:
    answers = set()
    for service in ("/Attestation", "/attestation/AttestationService.svc", "/ATTESTATION/attestationservice.SVC"):
        for written in (resource, f"{resource}/", resource.upper(), resource.lower()):
            response = client.generic(method, f"{service}/{written}", b"{}", content_type="application/json")
            answers.add((response.status_code, response.content))
    assert len(answers) == 1
    assert answers.pop()[0] != 404


# ---- forms ---------------------------------------------------------------------------------------------------------


def in_form(host: Host, context: RtpmContext, *, numbers: bool, base64_guid: bool) -> bytes:
    message = hgsa.AttestationRequest(
        host.session,
        (ENCRYPTION,),
        (
            (hgsa.AttestationProvidedContentType.ENDORSEMENT_KEY_CERTIFICATE, host.ek_certificate),
            (hgsa.AttestationProvidedContentType.RTPM_CONTEXT, context.serialise()),
        ),
    )
    return hgsa.serialise(message, hgsa.Form(bytes_as_numbers=numbers, guid_as_base64=base64_guid))


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("base64_guid", [False, True])
def test_both_forms_of_bytes_and_guids_are_read(
    client: Client, fabric: Trusting, hv01: Host, numbers: bool, base64_guid: bool
) -> None:
    opening = RtpmContext(None, ((BlobType.AK_PUBLIC, hv01.tpm.ak_public.serialise()),))
    body = in_form(hv01, opening, numbers=numbers, base64_guid=base64_guid)
    response = client.post(ATTEST, body, content_type="application/json")
    assert response.status_code == 200


def test_each_version_is_answered_in_its_own_form(client: Client, fabric: Trusting, hv01: Host, settings: Any) -> None:
    settings.HGS_WIRE_V1_BYTES, settings.HGS_WIRE_V2_BYTES = "array", "base64"
    settings.HGS_WIRE_V1_GUIDS, settings.HGS_WIRE_V2_GUIDS = "text", "base64"
    opening = RtpmContext(None, ((BlobType.AK_PUBLIC, hv01.tpm.ak_public.serialise()),))
    second = client.post(ATTEST, in_form(hv01, opening, numbers=False, base64_guid=False), "application/json").json()
    assert base64.b64decode(second["RtpmActiveContext"])
    other = Host("hv09", make_tpm(hv01.tpm.identity), hv01.manufacturer, hv01.boot)
    submission, _ = submit(FABRIC, "host", "hv09", other.identity_file)
    approve(ADMIN, submission, version=PolicyVersion.V1)
    body = hgsa.serialise(hgsa.TpmRequestInitial(uuid4(), (ENCRYPTION,), other.tpm.ek_public.serialise()))
    first = client.post("/Attestation/v1.0/attest", body, "application/json").json()
    assert all(0 <= number < 256 for number in first["RtpmActiveContext"])
    hv01.restart(replace(hv01.boot, secure_boot=b"\x00"))
    opened = client.post(ATTEST, in_form(hv01, hv01.second(client), numbers=True, base64_guid=True), "application/json")
    reasons = [item["Reason"] for item in json.loads(opened.content)["Reasons"]]
    assert all(len(base64.b64decode(reason)) == 16 for reason in reasons)


def test_the_type_comes_first_and_enumerations_are_numbers(client: Client, initialised: None) -> None:
    text = client.get("/Attestation/getinfo").content.decode()
    assert text.startswith('{"__type":"ServiceInfoReply:#Microsoft.Windows.RemoteAttestation.Core",')
    assert json.loads(text)["OperationMode"] == 1


@pytest.mark.parametrize("path", [path for paths in ENDPOINTS.values() for path in paths])
def test_no_body_above_the_limit_is_read(client: Client, initialised: None, path: str) -> None:
    mode = next(mode for mode, paths in ENDPOINTS.items() if path in paths)
    set_mode(ADMIN, mode)
    response = client.post(path, b"[" * (hgsa.MAX_REQUEST + 1), content_type="application/json")
    assert response.status_code in (400, 401)
    assert response.wsgi_request.read(1) == b"["  # nobody has read from it
