"""Judging a boot once more: the log of an earlier attestation by the policies of today.

A quote confirmed the log when it was stored, so nothing but policies is left to decide. The verdict says what they
would say about that boot; it proves nothing about the host's present one.
"""

from hgs.attestation.baseline import boot_from_reference_log
from hgs.attestation.judgement import Judgement
from hgs.attestation.policies import PolicySet, evaluate_policies
from hgs.attestation.sipa import MeasuredBoot
from hgs.attestation.verdict import Verdict


def stored_boot(log: bytes) -> MeasuredBoot:
    """The boot in a log that a quote confirmed when it was stored.

    Raises ``Malformed``, ``TooLarge``, ``Unsupported`` or ``LogUnsafe``: today's rules may refuse what others took.
    """
    return boot_from_reference_log(log)


def reappraise(boot: MeasuredBoot, policies: PolicySet, *, ek_hash: str = "", host_name: str = "") -> Verdict:
    """What the policies say about the boot; of the evidence checks none is listed."""
    result = Judgement(ek_hash)
    result.host_name = host_name
    return result.decided(evaluate_policies(boot, policies))
