"""Messages of MS-HGSA 2.2.2 as immutable values. Binary members are plain ``bytes`` here."""

from dataclasses import dataclass
from uuid import UUID

from hgs.wire.hgsa.enums import (
    AttestationOperationMode,
    AttestationProvidedContentType,
    AttestationResultType,
)


@dataclass(frozen=True)
class Message:
    """Base of everything that travels as one JSON object."""


@dataclass(frozen=True)
class AttestationRequest(Message):
    """v2 request (2.2.2.4): what is wanted, and the evidence for it."""

    session_id: UUID
    requested: tuple[AttestationResultType, ...]
    provided: tuple[tuple[AttestationProvidedContentType, bytes], ...]

    def find(self, kind: AttestationProvidedContentType) -> bytes | None:
        """The provided content of that type, or None."""
        return next((data for content, data in self.provided if content is kind), None)


@dataclass(frozen=True)
class TpmRequestInitial(Message):
    """v1 first request (2.2.2.5)."""

    session_id: UUID
    requested: tuple[AttestationResultType, ...]
    rtpm_public_endorsement_key: bytes


@dataclass(frozen=True)
class TpmRequestContinue(Message):
    """v1 following request (2.2.2.7)."""

    session_id: UUID
    requested: tuple[AttestationResultType, ...]
    rtpm_public_endorsement_key: bytes
    rtpm_new_context: bytes


@dataclass(frozen=True)
class TpmReplyContinue(Message):
    """The server's turn in the RTPM exchange (2.2.2.6)."""

    rtpm_active_context: bytes


@dataclass(frozen=True)
class ADRequest(Message):
    """Active Directory mode request (2.2.2.3): per result type, the key to certify."""

    session_id: UUID
    requested: tuple[tuple[AttestationResultType, bytes], ...]


@dataclass(frozen=True)
class HealthCertificateReply(Message):
    """Success (2.2.2.8): per result type, a DER certificate."""

    content: tuple[tuple[AttestationResultType, bytes], ...]

    def find(self, kind: AttestationResultType) -> bytes | None:
        """The certificate of that type, or None."""
        return next((data for content, data in self.content if content is kind), None)


@dataclass(frozen=True)
class ServiceInfoReply(Message):
    """Answer to getinfo (2.2.2.21)."""

    functional_level: int
    operation_mode: AttestationOperationMode
    supported_functional_levels: tuple[int, ...]


@dataclass(frozen=True)
class EndorsementKey(Message):
    """A public key by itself (2.2.2.11)."""

    key: bytes


@dataclass(frozen=True)
class EvaluationLog:
    """One policy's result by its reason GUID (2.2.2.13)."""

    result: bool
    reason: UUID


@dataclass(frozen=True)
class ErrorReply(Message):
    """Base of the error replies; ``retryable``: the same request may succeed later."""

    retryable: bool = False


@dataclass(frozen=True)
class OperationModeErrorReply(ErrorReply):
    """The endpoint is not of the mode this server runs in."""

    expected_operation_mode: AttestationOperationMode = AttestationOperationMode.UNKNOWN


@dataclass(frozen=True)
class PolicyEvaluationErrorReply(ErrorReply):
    """Policies that did not hold, by GUID."""

    reasons: tuple[EvaluationLog, ...] = ()


@dataclass(frozen=True)
class PayloadErrorReply(ErrorReply):
    """The endpoint is right, the body is not."""


@dataclass(frozen=True)
class RtpmErrorReply(ErrorReply):
    """The exchange with the TPM failed."""


@dataclass(frozen=True)
class TcgLogValidationErrorReply(ErrorReply):
    """The boot log is missing or does not hold."""


@dataclass(frozen=True)
class UnauthorizedErrorReply(ErrorReply):
    """The host is not known to this HGS."""


@dataclass(frozen=True)
class UnavailableErrorReply(ErrorReply):
    """The service cannot answer now."""


@dataclass(frozen=True)
class VirtualSecureModeErrorReply(ErrorReply):
    """No identity key, or one that does not hold."""


@dataclass(frozen=True)
class VsmReportValidationErrorReply(ErrorReply):
    """A virtual secure mode report that does not hold."""
