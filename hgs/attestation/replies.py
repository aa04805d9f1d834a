"""Which MS-HGSA error reply a failed verdict becomes (3.1.5.1)."""

from uuid import UUID

from hgs.attestation.verdict import Failure, Outcome, Verdict
from hgs.wire import hgsa


def error_reply(verdict: Verdict) -> hgsa.ErrorReply:
    """The reply for a verdict that did not pass; ``ValueError`` for one that did."""
    if verdict.passed or verdict.failure is None:
        raise ValueError("A passed verdict has no error reply.")
    if verdict.failure is Failure.POLICY:
        return hgsa.PolicyEvaluationErrorReply(verdict.retryable, _reasons(verdict))
    return _REPLIES[verdict.failure](verdict.retryable)


def _reasons(verdict: Verdict) -> tuple[hgsa.EvaluationLog, ...]:
    return tuple(
        hgsa.EvaluationLog(check.outcome is Outcome.PASSED, UUID(check.guid))
        for check in verdict.checks
        if check.guid and check.outcome is not Outcome.SKIPPED
    )


_REPLIES: dict[Failure, type[hgsa.ErrorReply]] = {
    Failure.UNAUTHORIZED: hgsa.UnauthorizedErrorReply,
    Failure.RTPM: hgsa.RtpmErrorReply,
    Failure.TCG_LOG: hgsa.TcgLogValidationErrorReply,
    Failure.VIRTUAL_SECURE_MODE: hgsa.VirtualSecureModeErrorReply,
    Failure.VSM_REPORT: hgsa.VsmReportValidationErrorReply,
}
