"""The client believes no verdict of Active Directory mode that HGS did not prove."""

import uuid
from collections.abc import Mapping

import httpx2
import pytest

from hgs.client import AttestationClient, HgsProtocolError, HgsRefused
from hgs.wire import hgsa
from hgs.wire.errors import NegotiateError
from hgs.wire.negotiate import write_header

REQUEST = hgsa.ADRequest(uuid.UUID(int=1), ())


class Ticket:
    """Accepts one proof."""

    def __init__(self, body: bytes) -> None:
        self.token = b"for " + body[:8]

    def check(self, answer: bytes) -> None:
        if answer != b"proof":
            raise NegotiateError("it is another.")


def client(
    reply: hgsa.Message, status: int, proof: bytes | None, more: Mapping[str, str] | None = None
) -> AttestationClient:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == write_header(b"for " + request.content[:8])
        headers = {"content-type": "application/json", **(more or {})}
        if proof is not None:
            headers["www-authenticate"] = write_header(proof)
        return httpx2.Response(status, headers=headers, content=hgsa.serialise(reply))

    return AttestationClient("http://hgs.test", transport=httpx2.MockTransport(answer))


PASSED, REFUSED = hgsa.HealthCertificateReply(()), hgsa.UnauthorizedErrorReply()
VERDICTS = [
    (PASSED, 200),
    (REFUSED, 403),
    (hgsa.VirtualSecureModeErrorReply(), 400),
    (hgsa.PayloadErrorReply(), 400),
    (REFUSED, 503),
    (PASSED, 409),
]


@pytest.mark.parametrize(("reply", "status"), VERDICTS)
def test_a_proven_verdict_is_an_answer(reply: hgsa.Message, status: int) -> None:
    assert client(reply, status, b"proof").attest_domain(REQUEST, Ticket).reply == reply


@pytest.mark.parametrize(("reply", "status"), VERDICTS)
@pytest.mark.parametrize("proof", [None, b"", b"forged"])
def test_an_unproven_verdict_is_not(reply: hgsa.Message, status: int, proof: bytes | None) -> None:
    with pytest.raises(HgsProtocolError, match="did not prove itself"):
        client(reply, status, proof).attest_domain(REQUEST, Ticket)


def test_what_comes_before_a_verdict_needs_no_proof() -> None:
    other = hgsa.OperationModeErrorReply(False, hgsa.AttestationOperationMode.TPM)
    assert client(other, 409, None).attest_domain(REQUEST, Ticket).reply == other
    busy = hgsa.UnavailableErrorReply(retryable=True)
    assert client(busy, 503, None).attest_domain(REQUEST, Ticket).reply == busy


def test_what_needs_no_proof_names_no_verdict() -> None:
    other = hgsa.OperationModeErrorReply(False, hgsa.AttestationOperationMode.TPM)
    forged = {"attestation-id": str(uuid.UUID(int=7)), "attestation-status": "Passed", "attestation-sub-status": "x"}
    answer = client(other, 409, None, forged).attest_domain(REQUEST, Ticket)
    assert (answer.attestation_id, answer.status, answer.sub_statuses) == (None, "", ())


def test_a_ticket_that_is_not_accepted_is_a_refusal() -> None:
    with pytest.raises(HgsRefused, match="did not accept the Kerberos ticket"):
        client(REFUSED, 401, None).attest_domain(REQUEST, Ticket)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (hgsa.AttestationRequest(uuid.UUID(int=1), (), ()), "v2.0/attest"),
        (hgsa.TpmRequestInitial(uuid.UUID(int=1), (), b"k"), "v1.0/attest"),
        (hgsa.TpmRequestContinue(uuid.UUID(int=1), (), b"k", b"c"), "v1.0/attest"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, hgsa.Message) else "",
)
@pytest.mark.parametrize("rehearsal", [False, True])
def test_each_message_goes_to_the_resource_of_its_version(
    message: hgsa.AttestationRequest | hgsa.TpmRequestInitial | hgsa.TpmRequestContinue, path: str, rehearsal: bool
) -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        headers = {"content-type": "application/json"}
        return httpx2.Response(400, headers=headers, content=hgsa.serialise(hgsa.PayloadErrorReply()))

    AttestationClient("http://hgs.test", transport=httpx2.MockTransport(answer)).attest(message, rehearsal=rehearsal)
    assert asked == [f"/Attestation/rehearsal/{path}" if rehearsal else f"/Attestation/{path}"]
