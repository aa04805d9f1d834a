"""Messages to bytes: one form per :class:`Form`, members in the specification's order."""

import base64
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from hgs.wire.hgsa import messages as m

TYPE_SUFFIX: Final = ":#Microsoft.Windows.RemoteAttestation.Core"


@dataclass(frozen=True)
class Form:
    """How byte strings and GUIDs are written; both forms of each are always read."""

    bytes_as_numbers: bool = False
    guid_as_base64: bool = False


JSON_FORM: Final = Form()
"""Base64 byte strings (MS-HGSA's words) and 8-4-4-4-12 GUIDs."""


def serialise(message: m.Message, form: Form = JSON_FORM) -> bytes:
    """UTF-8 JSON without white space, members in the specification's order, ``__type`` first."""
    body: dict[str, Any] = {}
    if not isinstance(message, m.EndorsementKey):
        body["__type"] = type(message).__name__ + TYPE_SUFFIX
    body.update(_WRITERS[type(message)](message, form))
    return json.dumps(body, separators=(",", ":"), ensure_ascii=True).encode()


def _bytes_out(value: bytes, form: Form) -> Any:
    return list(value) if form.bytes_as_numbers else base64.b64encode(value).decode()


def _guid_out(value: uuid.UUID, form: Form) -> str:
    return base64.b64encode(value.bytes_le).decode() if form.guid_as_base64 else str(value)


def _pairs_out(pairs: Sequence[tuple[IntEnum, bytes]], form: Form) -> list[dict[str, Any]]:
    return [{"m_Item1": int(kind), "m_Item2": _bytes_out(data, form)} for kind, data in pairs]


def _write_attestation(x: m.AttestationRequest, form: Form) -> dict[str, Any]:
    return {
        "SessionId": _guid_out(x.session_id, form),
        "RequestedContent": [int(item) for item in x.requested],
        "ProvidedContent": _pairs_out(x.provided, form),
    }


def _write_initial(x: m.TpmRequestInitial | m.TpmRequestContinue, form: Form) -> dict[str, Any]:
    return {
        "SessionId": _guid_out(x.session_id, form),
        "RequestedContent": [int(item) for item in x.requested],
        "RtpmPublicEndorsementKey": _bytes_out(x.rtpm_public_endorsement_key, form),
    }


def _write_continue(x: m.TpmRequestContinue, form: Form) -> dict[str, Any]:
    return {**_write_initial(x, form), "RtpmNewContext": _bytes_out(x.rtpm_new_context, form)}


def _write_reply_continue(x: m.TpmReplyContinue, form: Form) -> dict[str, Any]:
    return {"RtpmActiveContext": _bytes_out(x.rtpm_active_context, form)}


def _write_ad(x: m.ADRequest, form: Form) -> dict[str, Any]:
    return {"SessionId": _guid_out(x.session_id, form), "RequestedContent": _pairs_out(x.requested, form)}


def _write_health(x: m.HealthCertificateReply, form: Form) -> dict[str, Any]:
    return {"Content": _pairs_out(x.content, form)}


def _write_info(x: m.ServiceInfoReply, _: Form) -> dict[str, Any]:
    return {
        "FunctionalLevel": x.functional_level,
        "OperationMode": int(x.operation_mode),
        "SupportedFunctionalLevels": list(x.supported_functional_levels),
    }


def _write_key(x: m.EndorsementKey, form: Form) -> dict[str, Any]:
    return {"Key": _bytes_out(x.key, form)}


def _write_error(x: m.ErrorReply, _: Form) -> dict[str, Any]:
    return {"Retryable": x.retryable}


def _write_mode_error(x: m.OperationModeErrorReply, _: Form) -> dict[str, Any]:
    return {"Retryable": x.retryable, "ExpectedOperationMode": int(x.expected_operation_mode)}


def _write_policy_error(x: m.PolicyEvaluationErrorReply, form: Form) -> dict[str, Any]:
    reasons = [{"Result": item.result, "Reason": _guid_out(item.reason, form)} for item in x.reasons]
    return {"Retryable": x.retryable, "Reasons": reasons}


def serialise_certificate_bag(bag: bytes) -> bytes:
    """Body of a signingCertificates reply: the PKCS#7 bag as a JSON array of byte numbers, as open clients read it."""
    return json.dumps(list(bag), separators=(",", ":")).encode()


PLAIN_ERRORS: Final[tuple[type[m.ErrorReply], ...]] = (
    m.PayloadErrorReply,
    m.RtpmErrorReply,
    m.TcgLogValidationErrorReply,
    m.UnauthorizedErrorReply,
    m.UnavailableErrorReply,
    m.VirtualSecureModeErrorReply,
    m.VsmReportValidationErrorReply,
)
"""Error replies with no member but ``Retryable``."""
_WRITERS: Final[dict[type[m.Message], Callable[[Any, Form], dict[str, Any]]]] = {
    m.AttestationRequest: _write_attestation,
    m.TpmRequestInitial: _write_initial,
    m.TpmRequestContinue: _write_continue,
    m.TpmReplyContinue: _write_reply_continue,
    m.ADRequest: _write_ad,
    m.HealthCertificateReply: _write_health,
    m.ServiceInfoReply: _write_info,
    m.EndorsementKey: _write_key,
    m.OperationModeErrorReply: _write_mode_error,
    m.PolicyEvaluationErrorReply: _write_policy_error,
    **dict.fromkeys(PLAIN_ERRORS, _write_error),
}
