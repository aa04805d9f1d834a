"""MS-HGSA messages: every message survives, both forms are read, anything else is refused."""

import base64
import json
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.wire import hgsa
from hgs.wire.errors import HgsaError
from hgs.wire.hgsa import (
    AttestationOperationMode,
    AttestationProvidedContentType,
    AttestationResultType,
    Form,
    parse_message,
    serialise,
)

SESSION = UUID("00112233-4455-6677-8899-aabbccddeeff")
CORE = ":#Microsoft.Windows.RemoteAttestation.Core"
BYTES = st.binary(max_size=60)
GUIDS = st.uuids()
RESULTS = st.lists(st.sampled_from(AttestationResultType), unique=True, max_size=3).map(tuple)
FORMS = st.builds(Form, st.booleans(), st.booleans())
RETRYABLE = st.booleans()


def pairs(kind: Any) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(kind), BYTES, max_size=4).map(lambda found: tuple(found.items()))


MESSAGES = st.one_of(
    st.builds(hgsa.AttestationRequest, GUIDS, RESULTS, pairs(AttestationProvidedContentType)),
    st.builds(hgsa.TpmRequestInitial, GUIDS, RESULTS, BYTES),
    st.builds(hgsa.TpmRequestContinue, GUIDS, RESULTS, BYTES, BYTES),
    st.builds(hgsa.TpmReplyContinue, BYTES),
    st.builds(hgsa.ADRequest, GUIDS, pairs(AttestationResultType)),
    st.builds(hgsa.HealthCertificateReply, pairs(AttestationResultType)),
    st.builds(
        hgsa.ServiceInfoReply,
        st.integers(0, 2**32 - 1),
        st.sampled_from(AttestationOperationMode),
        st.lists(st.integers(0, 9), max_size=4).map(tuple),
    ),
    st.builds(hgsa.EndorsementKey, BYTES),
    st.builds(hgsa.OperationModeErrorReply, RETRYABLE, st.sampled_from(AttestationOperationMode)),
    st.builds(
        hgsa.PolicyEvaluationErrorReply,
        RETRYABLE,
        st.lists(st.builds(hgsa.EvaluationLog, st.booleans(), GUIDS), max_size=15).map(tuple),
    ),
    *(
        st.builds(kind, RETRYABLE)
        for kind in (
            hgsa.PayloadErrorReply,
            hgsa.RtpmErrorReply,
            hgsa.TcgLogValidationErrorReply,
            hgsa.UnauthorizedErrorReply,
            hgsa.UnavailableErrorReply,
            hgsa.VirtualSecureModeErrorReply,
            hgsa.VsmReportValidationErrorReply,
        )
    ),
)


@given(MESSAGES, FORMS)
def test_every_message_survives_in_every_form(message: hgsa.Message, form: Form) -> None:
    data = serialise(message, form)
    assert parse_message(data) == message
    assert serialise(parse_message(data), form) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error_reply(data: bytes) -> None:
    with suppress(HgsaError):
        parse_message(data)


NAMES = st.sampled_from(["__type", "Key", "SessionId", "Content"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner))


@given(JSON)
def test_any_json_is_a_message_or_an_error_reply(value: Any) -> None:
    with suppress(HgsaError):
        parse_message(json.dumps(value).encode())


def test_the_service_info_reply_is_written_as_documented() -> None:
    reply = hgsa.ServiceInfoReply(2, AttestationOperationMode.HOST_KEY, (1, 2))
    assert serialise(reply).decode() == (
        f'{{"__type":"ServiceInfoReply{CORE}","FunctionalLevel":2,"OperationMode":3,"SupportedFunctionalLevels":[1,2]}}'
    )


def request(**changes: Any) -> bytes:
    body: dict[str, Any] = {
        "__type": f"AttestationRequest{CORE}",
        "SessionId": str(SESSION),
        "RequestedContent": [1],
        "ProvidedContent": [{"m_Item1": 2, "m_Item2": "AQI="}],
    }
    body |= changes
    return json.dumps({key: value for key, value in body.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"__type": ...},
        {"SessionId": str(SESSION).upper()},
        {"SessionId": base64.b64encode(SESSION.bytes_le).decode()},
        {"SessionId": list(SESSION.bytes_le)},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": [1, 2]}]},
    ],
)
def test_both_forms_of_bytes_and_guids_are_read(changes: dict[str, Any]) -> None:
    expected = hgsa.AttestationRequest(
        SESSION,
        (AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE,),
        ((AttestationProvidedContentType.RTPM_CONTEXT, b"\x01\x02"),),
    )
    assert parse_message(request(**changes)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"Extra": 1},
        {"SessionId": ...},
        {"SessionId": "not a guid"},
        {"SessionId": "{00112233-4455-6677-8899-aabbccddeef}"},
        {"RequestedContent": [9]},
        {"RequestedContent": [1, 1]},
        {"RequestedContent": [True]},
        {"RequestedContent": "1"},
        {"RequestedContent": [1.0]},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": "AQI"}]},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": "AQJ="}]},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": " AQI="}]},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": [256]}]},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": [-1]}]},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": [True]}]},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": None}]},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": "", "m_Item3": 1}]},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": ""}, {"m_Item1": 2, "m_Item2": ""}]},
        {"ProvidedContent": [{"m_Item1": 2, "m_Item2": ""}] * 40},
        {"ProvidedContent": [1]},
        {"__type": "AttestationRequest:#Somewhere.Else"},
        {"__type": f"Nonsense{CORE}"},
        {"__type": 7},
    ],
)
def test_what_the_specification_does_not_allow_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(HgsaError):
        parse_message(request(**changes))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"Key":"","Key":""}',
        b'{"Retryable":true,"__type":"RtpmErrorReply' + CORE.encode() + b'"}',
        b'{"Key":NaN}',
        b'{"Key":[99999999999]}',
        b"[" * 100_000,
        b'{"Key":"\xff"}',
        b'\xef\xbb\xbf{"Key":""}',
    ],
)
def test_json_that_is_not_the_wire_form_is_refused(data: bytes) -> None:
    with pytest.raises(HgsaError):
        parse_message(data)


def test_a_body_above_the_limit_is_refused_unparsed() -> None:
    with pytest.raises(HgsaError, match="limit"):
        parse_message(b" " * (hgsa.MAX_REQUEST + 1))


def test_error_messages_do_not_echo_what_was_sent() -> None:
    with pytest.raises(HgsaError) as caught:
        parse_message(request(SessionId="secret-looking"))
    assert "secret-looking" not in caught.value.message


@given(st.binary(max_size=300))
def test_the_certificate_bag_travels_as_an_array_of_numbers(bag: bytes) -> None:
    data = hgsa.serialise_certificate_bag(bag)
    assert json.loads(data) == list(bag)
    assert hgsa.parse_certificate_bag(data) == bag


def test_contents_are_found_by_type() -> None:
    kind = AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
    reply = hgsa.HealthCertificateReply(((kind, b"certificate"),))
    assert reply.find(kind) == b"certificate"
    assert reply.find(AttestationResultType.VSM_CA_INTERMEDIATE_CERTIFICATE) is None
    message = hgsa.AttestationRequest(SESSION, (), ())
    assert message.find(AttestationProvidedContentType.RTPM_CONTEXT) is None
