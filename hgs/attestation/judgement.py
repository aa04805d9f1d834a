"""Collects check results while evidence is examined, and closes them into a verdict.

Evidence checks come in a fixed order; the first one that fails ends the examination, and the others are listed as
not reached, so that every verdict has the same list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hgs.attestation.errors import AttestationError
from hgs.attestation.policies import skipped_policies
from hgs.attestation.verdict import (
    AttestationStatus,
    AttestationSubStatus,
    CheckResult,
    Failure,
    Outcome,
    Verdict,
    sub_statuses_of,
)

STATE, EK_KNOWN, EK_CERTIFICATE = "ExchangeState", "EndorsementKeyKnown", "EndorsementKeyCertificate"
ATTESTATION_KEY, ACTIVATION = "AttestationKey", "CredentialActivation"
QUOTE_SIGNATURE, NONCE, SELECTION = "QuoteSignature", "QuoteNonce", "QuotePcrSelection"
REPLAY, READABLE, IDENTITY_KEY = "TcgLogReplay", "TcgLogContent", "IdentityKey"
EVIDENCE_CHECKS: Final = (
    EK_KNOWN,
    EK_CERTIFICATE,
    STATE,
    ATTESTATION_KEY,
    ACTIVATION,
    QUOTE_SIGNATURE,
    NONCE,
    SELECTION,
    REPLAY,
    READABLE,
    IDENTITY_KEY,
)
"""Codes of the evidence checks, in their order."""

_NOT_REACHED: Final = "Not evaluated: an earlier check failed."


@dataclass(frozen=True)
class _Kind:
    status: AttestationStatus
    failure: Failure
    sub_status: AttestationSubStatus = AttestationSubStatus.NO_INFORMATION


_TPM: Final = _Kind(AttestationStatus.TPM_ERROR, Failure.RTPM)
_UNKNOWN: Final = _Kind(AttestationStatus.UNAUTHORIZED_HOST, Failure.UNAUTHORIZED)
_LOG: Final = _Kind(
    AttestationStatus.INSECURE_HOST_CONFIGURATION, Failure.TCG_LOG, AttestationSubStatus.TCG_LOG_VERIFICATION
)
_IDENTITY: Final = _Kind(
    AttestationStatus.INSECURE_HOST_CONFIGURATION,
    Failure.VIRTUAL_SECURE_MODE,
    AttestationSubStatus.VIRTUAL_SECURE_MODE,
)
_KINDS: Final = {EK_KNOWN: _UNKNOWN, EK_CERTIFICATE: _UNKNOWN, REPLAY: _LOG, READABLE: _LOG, IDENTITY_KEY: _IDENTITY}


class EvidenceFailed(Exception):  # noqa: N818 - control flow inside the examination only, never seen by callers
    """An evidence check failed; the examination is over."""


class Judgement:
    """The checks made so far."""

    def __init__(self, ek_hash: str) -> None:
        self.ek_hash = ek_hash
        self.host_name = ""
        self.warnings: list[str] = []
        self._checks: list[CheckResult] = []

    def passed(self, code: str, sentence: str, evidence: Mapping[str, str] | None = None) -> None:
        """The evidence check holds."""
        self._checks.append(CheckResult(code, Outcome.PASSED, sentence, evidence=evidence or {}))

    def skipped(self, code: str, sentence: str) -> None:
        """The evidence check does not apply."""
        self._checks.append(CheckResult(code, Outcome.SKIPPED, sentence))

    def refuse(self, code: str, sentence: str, evidence: Mapping[str, str] | None = None) -> EvidenceFailed:
        """The evidence check fails; the caller raises what is returned."""
        sub_status = _KINDS.get(code, _TPM).sub_status
        self._checks.append(CheckResult(code, Outcome.FAILED, sentence, sub_status=sub_status, evidence=evidence or {}))
        return EvidenceFailed(code)

    def refuse_for(
        self, code: str, error: AttestationError, evidence: Mapping[str, str] | None = None
    ) -> EvidenceFailed:
        """As :meth:`refuse`, with the sentence of an error."""
        return self.refuse(code, error.message, evidence)

    def ended(self, *, retryable: bool = False) -> Verdict:
        """The verdict after a failed evidence check."""
        failed = self._checks[-1]
        made = {check.code for check in self._checks}
        not_reached = [CheckResult(code, Outcome.SKIPPED, _NOT_REACHED) for code in EVIDENCE_CHECKS if code not in made]
        kind = _KINDS.get(failed.code, _TPM)
        checks = (*self._checks, *not_reached, *skipped_policies(_NOT_REACHED))
        return self._verdict(kind.status, kind.failure, checks, retryable=retryable)

    def decided(self, policy_results: tuple[CheckResult, ...]) -> Verdict:
        """The verdict when all evidence held: policies decide."""
        checks = (*self._checks, *policy_results)
        if any(check.outcome is Outcome.FAILED for check in checks):
            return self._verdict(AttestationStatus.INSECURE_HOST_CONFIGURATION, Failure.POLICY, checks)
        return self._verdict(AttestationStatus.PASSED, None, checks)

    def _verdict(
        self,
        status: AttestationStatus,
        failure: Failure | None,
        checks: tuple[CheckResult, ...],
        *,
        retryable: bool = False,
    ) -> Verdict:
        return Verdict(
            status=status,
            sub_statuses=sub_statuses_of(checks),
            checks=checks,
            failure=failure,
            retryable=retryable,
            warnings=tuple(self.warnings),
            ek_hash=self.ek_hash,
            host_name=self.host_name,
        )
