"""Messages of [MS-HGSA] (Host Guardian Service: Attestation Protocol), both directions.

Wire form: JSON in the manner of WCF's DataContractJsonSerializer. Polymorphic messages carry ``__type`` as their first
member; enumerations are numbers; byte strings are base64 or arrays of numbers and GUIDs are strings or base64 of
their 16 bytes (public sources disagree, so both are read and the written form is chosen by :class:`Form`).

``messages`` holds the dataclasses; ``writing`` and ``reading`` turn them into bytes and back:
``parse_message(serialise(m)) == m``, and ``serialise(parse_message(b)) == b`` for everything ``serialise`` wrote.
"""

from hgs.wire.hgsa.enums import (
    AttestationOperationMode,
    AttestationProvidedContentType,
    AttestationResultType,
    TpmInterfaceType,
    TpmVersion,
)
from hgs.wire.hgsa.messages import (
    ADRequest,
    AttestationRequest,
    EndorsementKey,
    ErrorReply,
    EvaluationLog,
    HealthCertificateReply,
    Message,
    OperationModeErrorReply,
    PayloadErrorReply,
    PolicyEvaluationErrorReply,
    RtpmErrorReply,
    ServiceInfoReply,
    TcgLogValidationErrorReply,
    TpmReplyContinue,
    TpmRequestContinue,
    TpmRequestInitial,
    UnauthorizedErrorReply,
    UnavailableErrorReply,
    VirtualSecureModeErrorReply,
    VsmReportValidationErrorReply,
)
from hgs.wire.hgsa.reading import MAX_REQUEST, parse_certificate_bag, parse_message
from hgs.wire.hgsa.writing import JSON_FORM, Form, serialise, serialise_certificate_bag

__all__ = [
    "JSON_FORM",
    "MAX_REQUEST",
    "ADRequest",
    "AttestationOperationMode",
    "AttestationProvidedContentType",
    "AttestationRequest",
    "AttestationResultType",
    "EndorsementKey",
    "ErrorReply",
    "EvaluationLog",
    "Form",
    "HealthCertificateReply",
    "Message",
    "OperationModeErrorReply",
    "PayloadErrorReply",
    "PolicyEvaluationErrorReply",
    "RtpmErrorReply",
    "ServiceInfoReply",
    "TcgLogValidationErrorReply",
    "TpmInterfaceType",
    "TpmReplyContinue",
    "TpmRequestContinue",
    "TpmRequestInitial",
    "TpmVersion",
    "UnauthorizedErrorReply",
    "UnavailableErrorReply",
    "VirtualSecureModeErrorReply",
    "VsmReportValidationErrorReply",
    "parse_certificate_bag",
    "parse_message",
    "serialise",
    "serialise_certificate_bag",
]
