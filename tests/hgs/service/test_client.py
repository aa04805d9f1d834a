"""The HTTP client of HGS: bounded, direct, and with three ways to fail."""

import gzip
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from hgs.client import (
    AttestationClient,
    FabricClient,
    HgsProtocolError,
    HgsRefused,
    HgsUnreachable,
    KeyProtectionClient,
)
from hgs.wire import hgsa, kps

URL = "http://hgs.example"
JSON = {"Content-Type": "application/json"}
XML = {"Content-Type": "application/xml"}
Respond = Callable[[httpx2.Request], httpx2.Response]


def answering(status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> httpx2.MockTransport:
    return httpx2.MockTransport(lambda _: httpx2.Response(status, content=content, headers=headers or {}))


def failing(error: type[Exception]) -> httpx2.MockTransport:
    def respond(request: httpx2.Request) -> httpx2.Response:
        raise error("no")

    return httpx2.MockTransport(respond)


def attestation(transport: httpx2.MockTransport) -> AttestationClient:
    return AttestationClient(URL, transport=transport)


REQUEST = hgsa.AttestationRequest(uuid4(), (), ())


def test_an_error_reply_is_an_answer_with_its_verdict() -> None:
    verdict = uuid4()
    headers = JSON | {
        "Attestation-Id": str(verdict),
        "Attestation-Status": "InsecureHostConfiguration",
        "Attestation-Sub-Status": "SecureBoot,Iommu",
    }
    content = hgsa.serialise(hgsa.PolicyEvaluationErrorReply(False))
    answer = attestation(answering(403, content, headers)).attest(REQUEST)
    assert answer.reply == hgsa.PolicyEvaluationErrorReply(False)
    assert answer.attestation_id == verdict
    assert (answer.status, answer.sub_statuses) == ("InsecureHostConfiguration", ("SecureBoot", "Iommu"))


def test_an_exchange_that_goes_on_has_no_verdict_yet() -> None:
    content = hgsa.serialise(hgsa.TpmReplyContinue(b"x"))
    answer = attestation(answering(200, content, JSON)).attest(REQUEST)
    assert (answer.attestation_id, answer.status, answer.sub_statuses) == (None, "", ())


@pytest.mark.parametrize("error", [httpx2.ConnectError, httpx2.ReadTimeout, httpx2.RemoteProtocolError])
def test_no_answer_is_unreachable(error: type[Exception]) -> None:
    with pytest.raises(HgsUnreachable):
        attestation(failing(error)).get_info()


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (302, b"", {"Location": "http://elsewhere.example/"}),
        (200, b"{}", JSON),
        (200, b"x" * (64 * 1024 + 1), JSON),
        (200, gzip.compress(b"{}", mtime=0), JSON | {"Content-Encoding": "gzip"}),
        (200, hgsa.serialise(hgsa.PayloadErrorReply(False)), JSON),
    ],
)
def test_what_is_no_answer_of_hgs_is_a_protocol_error(status: int, content: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(HgsProtocolError):
        attestation(answering(status, content, headers)).get_info()


def test_a_page_of_something_else_is_a_refusal() -> None:
    with pytest.raises(HgsRefused) as caught:
        attestation(answering(502, b"<html>", {"Content-Type": "text/html"})).get_info()
    assert caught.value.status == 502


def test_a_verdict_id_that_is_none_is_a_protocol_error() -> None:
    content = hgsa.serialise(hgsa.RtpmErrorReply(False))
    with pytest.raises(HgsProtocolError):
        attestation(answering(400, content, JSON | {"Attestation-Id": "1"})).attest(REQUEST)


def test_a_bag_that_is_none_is_a_protocol_error() -> None:
    with pytest.raises(HgsProtocolError):
        attestation(answering(200, b"[1,2,3]", JSON)).signing_certificates()


def test_a_refusal_of_keys_has_the_name_of_the_specification() -> None:
    content = kps.serialise_error(kps.KpsError("HealthCertificateException", "It expired."))
    client = KeyProtectionClient(URL, transport=answering(403, content, XML))
    with pytest.raises(HgsRefused, match="It expired") as caught:
        client.roll_transport_key(b"<x/>")
    assert caught.value.reason == "HealthCertificateException"


@pytest.mark.parametrize("headers", [{}, JSON])
def test_keys_come_as_xml_or_not_at_all(headers: dict[str, str]) -> None:
    client = KeyProtectionClient(URL, transport=answering(200, b"x", headers))
    with pytest.raises(HgsProtocolError):
        client.metadata()


def test_an_answer_of_keys_comes_as_it_was() -> None:
    assert KeyProtectionClient(URL, transport=answering(200, b"<x/>", XML)).roll_transport_key(b"") == b"<x/>"


def test_a_request_for_keys_names_the_virtual_machine_if_it_is_known() -> None:
    seen: list[httpx2.Request] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, content=b"<x/>", headers=XML)

    client = KeyProtectionClient(URL, transport=httpx2.MockTransport(respond))
    client.roll_transport_key(b"<x/>", "6f0a1d0e-7a55-4c43-9d3b-0d8f3e6a2b11")
    client.roll_transport_key(b"<x/>")
    assert [request.headers.get("virtual-machine") for request in seen] == [
        "6f0a1d0e-7a55-4c43-9d3b-0d8f3e6a2b11", None,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="UUID"):
        client.roll_transport_key(b"<x/>", "web01\r\nHost: elsewhere")


def recording(seen: list[httpx2.Request], value: dict[str, Any]) -> httpx2.MockTransport:
    def respond(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(201, json=value)

    return httpx2.MockTransport(respond)


def test_the_token_travels_as_a_bearer_token_and_is_not_printed() -> None:
    seen: list[httpx2.Request] = []
    value = {"id": str(uuid4()), "kind": "host", "name": "hv01", "state": "pending"}
    client = FabricClient(URL, "the-token", transport=recording(seen, value))
    assert client.submit("host", "hv01", b"x").state == "pending"
    assert seen[0].headers["Authorization"] == "Bearer the-token"
    assert "the-token" not in repr(client) + repr(vars(client))


@pytest.mark.parametrize("value", [{}, {"id": "x", "kind": "host", "name": "a", "state": "b"}])
def test_a_receipt_that_is_none_is_a_protocol_error(value: dict[str, Any]) -> None:
    with pytest.raises(HgsProtocolError):
        FabricClient(URL, "t", transport=recording([], value)).submit("host", "hv01", b"x")


def test_a_problem_is_a_refusal_with_its_code() -> None:
    content = b'{"code": "fabric-token", "detail": "This needs the token."}'
    client = FabricClient(URL, "t", transport=answering(401, content, {"Content-Type": "application/problem+json"}))
    with pytest.raises(HgsRefused, match="needs the token") as caught:
        client.status()
    assert (caught.value.reason, caught.value.status) == ("fabric-token", 401)


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(HgsUnreachable, match="cannot be reached"):
        AttestationClient("http://127.0.0.1:2", timeout=2).get_info()


# ---- the account of keys --------------------------------------------------------------------------------------------


def fabric_client(respond: Respond) -> FabricClient:
    return FabricClient(URL, "token", transport=httpx2.MockTransport(respond))


def test_key_events_are_asked_for_by_owner_vm_and_place() -> None:
    asked: list[httpx2.Request] = []
    vm = uuid4()

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, json={"events": [{"index": 3}]})

    client = fabric_client(respond)
    assert client.key_events("ab") == [{"index": 3}]
    assert client.key_events("ab", vm, 7, 10) == [{"index": 3}]
    assert [dict(request.url.params) for request in asked] == [
        {"owner": "ab", "limit": "50"},
        {"owner": "ab", "limit": "10", "vm": str(vm), "before": "7"},
    ]
    assert {request.url.path for request in asked} == {"/fabric/v1/key-events"}


def test_a_bundle_comes_in_pieces_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(request: httpx2.Request) -> httpx2.Response:
        assert (request.url.path, dict(request.url.params)) == (
            "/fabric/v1/key-log/bundle",
            {"owner": "ab", "from": "5"},
        )
        return httpx2.Response(200, content=iter([b"12345"] * 4), headers={"Content-Type": "application/zip"})

    assert b"".join(fabric_client(respond).key_log_bundle("ab", 5)) == b"12345" * 4
    monkeypatch.setattr("hgs.client.MAX_BUNDLE", 12)
    pieces = fabric_client(respond).key_log_bundle("ab", 5)
    assert [next(pieces), next(pieces)] == [b"12345", b"12345"]
    with pytest.raises(HgsProtocolError):
        next(pieces)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx2.Response(404, json={"code": "no-such-size", "detail": "The log never had 9 entries."}), HgsRefused),
        (httpx2.Response(200, content=b"x", headers={"Content-Type": "text/html"}), HgsProtocolError),
        (httpx2.Response(302, headers={"Location": "http://elsewhere.example/"}), HgsProtocolError),
    ],
)
def test_what_is_no_bundle_fails_before_its_first_piece(response: httpx2.Response, error: type[Exception]) -> None:
    with pytest.raises(error):
        next(fabric_client(lambda _: response).key_log_bundle("ab"))


def test_a_bundle_that_breaks_off_is_an_error_and_no_end() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"begin"
        raise httpx2.ReadError("gone")

    answer = httpx2.Response(200, content=pieces(), headers={"Content-Type": "application/zip"})
    found = fabric_client(lambda _: answer).key_log_bundle("ab")
    assert next(found) == b"begin"
    with pytest.raises(HgsUnreachable):
        next(found)


def test_the_key_of_the_log_is_one_line_of_text() -> None:
    assert fabric_client(lambda _: httpx2.Response(200, text="log+0a+AQ==\n")).key_log_key() == "log+0a+AQ=="
    with pytest.raises(HgsProtocolError):
        fabric_client(lambda _: httpx2.Response(200, content=b"\xff")).key_log_key()
    with pytest.raises(HgsRefused):
        fabric_client(lambda _: httpx2.Response(503, text="")).key_log_key()
