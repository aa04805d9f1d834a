"""Errors of the attestation core: a closed set, each with a stable ``code`` and a sentence for the reader.

They say that something given could not be read or checked at all. A host that was read and judged, and did not
hold, is not an error but a :class:`hgs.attestation.verdict.Verdict`.
"""

from typing import ClassVar


class AttestationError(Exception):
    """Base of the set. ``code`` is stable; ``message`` is safe to show to the sender of the evidence."""

    code: ClassVar[str] = "attestation"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Malformed(AttestationError):  # noqa: N818 - reads as a sentence where it is raised
    """Bytes that do not follow their format, or follow it in a second encoding."""

    code = "malformed"


class TooLarge(Malformed):
    """A size or a count above the documented limit; refused before anything is allocated for it."""

    code = "too-large"


class Unsupported(AttestationError):  # noqa: N818
    """Well formed, but an algorithm, curve or version that is not in our tables."""

    code = "unsupported"


class SignatureInvalid(AttestationError):  # noqa: N818
    """A signature that does not verify under the key it must verify under."""

    code = "signature-invalid"


class LogMismatch(AttestationError):  # noqa: N818
    """An event log that does not replay to the register values of the TPM.

    ``registers`` lists the register numbers known to differ (empty when only the composite digest is known).
    """

    code = "log-mismatch"

    def __init__(self, message: str, registers: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.registers = registers


class LogUnsafe(AttestationError):  # noqa: N818
    """A log that replays, but that no statement about the boot can be drawn from (see ``sipa``)."""

    code = "log-unsafe"


class CertificateInvalid(AttestationError):  # noqa: N818
    """An endorsement-key or health certificate that does not hold: chain, dates, profile or signature."""

    code = "certificate-invalid"


class PayloadInvalid(AttestationError):  # noqa: N818
    """A request that lacks a part, has one too many, or has one in the wrong place."""

    code = "payload-invalid"
