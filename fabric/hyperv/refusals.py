"""What a refusal of HGS means for the host: its state by the original's names, a sentence and advice."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from hgs.attestation.verdict import AttestationStatus, AttestationSubStatus
from hgs.client import AttestationAnswer
from hgs.wire import hgsa

_Sub = AttestationSubStatus
# MS-HGSA 2.2.2.13: reason GUID -> the policy's name in HGS, and the sub-status that hosts show.
POLICIES: Final[dict[UUID, tuple[str, AttestationSubStatus]]] = {
    UUID("6a460ee1-62ea-416f-ae6c-04e29634506d"): ("Hgs_SecureBootEnabled", _Sub.SECURE_BOOT),
    UUID("756dc455-9528-479a-a86a-c646417316c9"): ("Hgs_SecureBootSettings", _Sub.SECURE_BOOT_SETTINGS),
    UUID("20188fda-d40b-460d-b078-2e7898a42ae9"): ("Hgs_UefiDebugDisabled", _Sub.DEBUG_MODE),
    UUID("81f110ba-53c5-4064-9d64-51029fa24f49"): ("Hgs_CiPolicy", _Sub.CODE_INTEGRITY_POLICY),
    UUID("75ad09c9-7254-4d00-96f3-3b09d0aaac54"): ("Hgs_FullBoot", _Sub.FULL_BOOT),
    UUID("75d595de-12f5-41e9-a61e-469d3205ecca"): ("Hgs_VsmIdkPresent", _Sub.VIRTUAL_SECURE_MODE),
    UUID("6c0a6d29-5bcb-4f28-bafb-f71eb60fdae0"): ("VsmRunning", _Sub.VIRTUAL_SECURE_MODE),
    UUID("da0776e5-6570-44b3-9a17-7e95b4fc7779"): ("Hgs_IommuEnabled", _Sub.IOMMU),
    UUID("347da547-d266-4939-bf3d-9ec73a90bdbc"): ("Hgs_BitLockerEnabled", _Sub.BITLOCKER),
    UUID("12df0ee9-b38e-4086-90f8-703d9e7cb878"): ("Hgs_PageFileEncryptionEnabled", _Sub.PAGEFILE_ENCRYPTION),
    UUID("5408bd30-3250-4ac1-a150-c410af756699"): ("Hgs_HypervisorEnforcedCiPolicy", _Sub.HYPERVISOR_ENFORCED_CI),
    UUID("a32022c6-dccd-4bf5-be76-3b5ca1542559"): ("Hgs_NoHibernation", _Sub.HIBERNATION_ENABLED),
    UUID("2a796e36-e918-454f-b610-60f086e8d334"): ("Hgs_NoDumps", _Sub.DUMPS_ENABLED),
    UUID("6f390a71-753c-43aa-a326-74e30aedcd9d"): ("Hgs_DumpEncryption", _Sub.DUMP_ENCRYPTION),
    UUID("85dac0a4-8ba9-4a7f-a342-211862ce0be8"): ("Hgs_DumpEncryptionKey", _Sub.DUMP_ENCRYPTION_KEY),
}


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


def explain(answer: AttestationAnswer) -> Refusal:
    """What an answer that is no health certificate means."""
    reply = answer.reply
    if isinstance(reply, hgsa.PolicyEvaluationErrorReply):
        return _policies(answer, reply)
    if isinstance(reply, hgsa.OperationModeErrorReply):
        mode = reply.expected_operation_mode.name.replace("_", " ").title()
        return Refusal(_TRANSIENT, f"HGS works in {mode} mode; this host attests by TPM.", "Set HGS to TPM mode.")
    return _KNOWN.get(
        type(reply), Refusal(_TRANSIENT, f"HGS answered with {type(reply).__name__}.", "Look at the HGS console.")
    )


def _policies(answer: AttestationAnswer, reply: hgsa.PolicyEvaluationErrorReply) -> Refusal:
    failed = [POLICIES[log.reason] for log in reply.reasons if not log.result and log.reason in POLICIES]
    names = tuple(dict.fromkeys(name for name, _sub in failed))
    sub_statuses = answer.sub_statuses or tuple(dict.fromkeys(sub.value for _name, sub in failed))
    listed = ", ".join(names) or "a policy that this version of the host does not know"
    return Refusal(
        _INSECURE,
        f"HGS refused this host: {listed} did not hold.",
        "The attestation in the HGS console says for each check what was found and what was expected.",
        sub_statuses,
        names,
    )
