"""What a refusal of HGS means for the host: its state by the original's names, a sentence and advice."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from hgs.attestation.policies import BUILT_IN_POLICIES
from hgs.attestation.verdict import AttestationStatus, AttestationSubStatus
from hgs.client import AttestationAnswer
from hgs.wire import hgsa

_Sub = AttestationSubStatus
Mode = hgsa.AttestationOperationMode
_BY_REASON: Final = {UUID(policy.guid): policy for policy in BUILT_IN_POLICIES}


@dataclass(frozen=True, slots=True)
class Refusal:
    """`failing`: names of the policies that did not hold."""

    status: AttestationStatus
    message: str
    advice: str
    sub_statuses: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()


_INSECURE = AttestationStatus.INSECURE_HOST_CONFIGURATION
_TRANSIENT = AttestationStatus.TRANSIENT_ERROR
_UNAUTHORIZED: Final = {
    Mode.ACTIVE_DIRECTORY: Refusal(
        AttestationStatus.UNAUTHORIZED_HOST,
        "HGS does not know this host: its computer account is in no domain group that is registered there.",
        "Put the account into a registered group; a ticket asked for after that says so. The attestation in the HGS "
        "console lists the groups that the host came with.",
    ),
    Mode.HOST_KEY: Refusal(
        AttestationStatus.UNAUTHORIZED_HOST,
        "HGS does not know this host: its host key is not registered there.",
        "Submit the host key (gf host host-key, then gf host submit --host-key); an HGS administrator must approve it.",
    ),
}
_KNOWN: Final[dict[type[hgsa.Message], Refusal]] = {
    hgsa.UnauthorizedErrorReply: Refusal(
        AttestationStatus.UNAUTHORIZED_HOST,
        "HGS does not know this host: its TPM is not registered there, or its maker is not trusted.",
        "Submit the host's identity; an HGS administrator must approve it and trust the TPM maker's root.",
    ),
    hgsa.RtpmErrorReply: Refusal(
        AttestationStatus.TPM_ERROR,
        "HGS did not accept what the host's TPM stated.",
        "Restart the host. If it repeats, look at the attestation in the HGS console.",
    ),
    hgsa.TcgLogValidationErrorReply: Refusal(
        _INSECURE,
        "HGS could not verify the host's boot log.",
        "Restart the host, so that log and TPM start anew together.",
        (_Sub.TCG_LOG_VERIFICATION.value,),
    ),
    hgsa.VirtualSecureModeErrorReply: Refusal(
        _INSECURE,
        "The host has no identity key that HGS can certify.",
        "Virtualization-based security must run on the host.",
        (_Sub.VIRTUAL_SECURE_MODE.value,),
    ),
    hgsa.UnavailableErrorReply: Refusal(_TRANSIENT, "HGS cannot answer now.", "The host tries again by itself."),
    hgsa.PayloadErrorReply: Refusal(
        _TRANSIENT, "HGS could not read the host's message.", "Check that host and HGS are of the same version."
    ),
}


def explain(answer: AttestationAnswer, asked: Mode = Mode.TPM) -> Refusal:
    """What an answer that is no health certificate means to a host that attested in the mode `asked`."""
    reply = answer.reply
    if isinstance(reply, hgsa.UnauthorizedErrorReply) and asked in _UNAUTHORIZED:
        return _UNAUTHORIZED[asked]
    if isinstance(reply, hgsa.PolicyEvaluationErrorReply):
        return _policies(answer, reply)
    if isinstance(reply, hgsa.OperationModeErrorReply):
        return Refusal(_TRANSIENT, "HGS changed its mode while this host attested.", "The host tries again by itself.")
    return _KNOWN.get(
        type(reply), Refusal(_TRANSIENT, f"HGS answered with {type(reply).__name__}.", "Look at the HGS console.")
    )


def _policies(answer: AttestationAnswer, reply: hgsa.PolicyEvaluationErrorReply) -> Refusal:
    failed = [_BY_REASON[log.reason] for log in reply.reasons if not log.result and log.reason in _BY_REASON]
    names = tuple(dict.fromkeys(policy.name for policy in failed))
    sub_statuses = answer.sub_statuses or tuple(dict.fromkeys(policy.sub_status.value for policy in failed))
    listed = ", ".join(names) or "a policy that this version of the host does not know"
    return Refusal(
        _INSECURE,
        f"HGS refused this host: {listed} did not hold.",
        "The attestation in the HGS console says for each check what was found and what was expected.",
        sub_statuses,
        names,
    )
