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
    MODE_TPM,
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
SIGNING_KEY, VSM_REPORT = "IdentitySigningKey", "VsmReport"


@dataclass(frozen=True)
class FailureKind:
    """What a failed evidence check means for the host, and which error reply it becomes."""

    status: AttestationStatus
    failure: Failure
    sub_status: AttestationSubStatus = AttestationSubStatus.NO_INFORMATION


TPM_FAILED: Final = FailureKind(AttestationStatus.TPM_ERROR, Failure.RTPM)
UNAUTHORIZED: Final = FailureKind(AttestationStatus.UNAUTHORIZED_HOST, Failure.UNAUTHORIZED)
LOG_FAILED: Final = FailureKind(
    AttestationStatus.INSECURE_HOST_CONFIGURATION, Failure.TCG_LOG, AttestationSubStatus.TCG_LOG_VERIFICATION
)
IDENTITY_FAILED: Final = FailureKind(
    AttestationStatus.INSECURE_HOST_CONFIGURATION,
    Failure.VIRTUAL_SECURE_MODE,
    AttestationSubStatus.VIRTUAL_SECURE_MODE,
)
REPORT_FAILED: Final = FailureKind(
    AttestationStatus.INSECURE_HOST_CONFIGURATION, Failure.VSM_REPORT, AttestationSubStatus.VIRTUAL_SECURE_MODE
)

TPM_CHECKS: Final[Mapping[str, FailureKind]] = {
    EK_KNOWN: UNAUTHORIZED,
    EK_CERTIFICATE: UNAUTHORIZED,
    STATE: TPM_FAILED,
    ATTESTATION_KEY: TPM_FAILED,
    ACTIVATION: TPM_FAILED,
    QUOTE_SIGNATURE: TPM_FAILED,
    NONCE: TPM_FAILED,
    SELECTION: TPM_FAILED,
    REPLAY: LOG_FAILED,
    READABLE: LOG_FAILED,
    IDENTITY_KEY: IDENTITY_FAILED,
    SIGNING_KEY: IDENTITY_FAILED,
}
"""The evidence checks of TPM mode in their order; the other modes bring their own."""
TPM_CHECKS_WITH_REPORT: Final[Mapping[str, FailureKind]] = {**TPM_CHECKS, VSM_REPORT: REPORT_FAILED}
"""The same where a certificate was asked for that needs a virtual secure mode report."""
EVIDENCE_CHECKS: Final = tuple(TPM_CHECKS)
"""Codes of the evidence checks of TPM mode, in their order."""

_NOT_REACHED: Final = "Not evaluated: an earlier check failed."


class EvidenceFailed(Exception):  # noqa: N818 - control flow inside the examination only, never seen by callers
    """An evidence check failed; the examination is over."""


class Judgement:
    """The checks made so far.

    ``identity``: SHA-256 (hex) by which HGS knows the host: of its endorsement key, its host key or its account's SID.
    ``checks``: the evidence checks of the mode, in their order, and what each means when it fails. Policies are
    evaluated in TPM mode alone, so verdicts of other modes list none.
    """

    def __init__(
        self,
        identity: str,
        *,
        checks: Mapping[str, FailureKind] = TPM_CHECKS,
        mode: str = MODE_TPM,
        protocol_version: int = 2,
    ) -> None:
        self.identity = identity
        self.mode = mode
        self.protocol_version = protocol_version
        self.host_name = ""
        self.warnings: list[str] = []
        self._kinds = checks
        self._checks: list[CheckResult] = []

    def passed(self, code: str, sentence: str, evidence: Mapping[str, str] | None = None) -> None:
        """The evidence check holds."""
        self._checks.append(CheckResult(code, Outcome.PASSED, sentence, evidence=evidence or {}))

    def skipped(self, code: str, sentence: str) -> None:
        """The evidence check does not apply."""
        self._checks.append(CheckResult(code, Outcome.SKIPPED, sentence))

    def refuse(self, code: str, sentence: str, evidence: Mapping[str, str] | None = None) -> EvidenceFailed:
        """The evidence check fails; the caller raises what is returned."""
        sub_status = self._kinds[code].sub_status
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
        not_reached = [CheckResult(code, Outcome.SKIPPED, _NOT_REACHED) for code in self._kinds if code not in made]
        kind = self._kinds[failed.code]
        policies = skipped_policies(_NOT_REACHED) if self.mode == MODE_TPM else ()
        checks = (*self._checks, *not_reached, *policies)
        return self._verdict(kind.status, kind.failure, checks, retryable=retryable)

    def decided(self, policy_results: tuple[CheckResult, ...] = ()) -> Verdict:
        """The verdict when all evidence held: policies decide, where the mode has any."""
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
            warnings=(*self.warnings, *(warning for check in checks for warning in check.warnings)),
            ek_hash=self.identity,
            host_name=self.host_name,
            mode=self.mode,
            protocol_version=self.protocol_version,
        )
