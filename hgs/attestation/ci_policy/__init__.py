"""Code-integrity policies (SIPolicy): files, the digest that hosts measure, rules, and what they decide.

`docs/formats/ci-policy.md` describes the format.
"""

from hgs.attestation.ci_policy.document import DEFAULT_FORMAT, PolicyDocument, information
from hgs.attestation.ci_policy.header import (
    ALWAYS_SET,
    ENTERPRISE,
    WINDOWS_PLATFORM,
    CiPolicyHeader,
    PolicyOption,
    Version,
    version_text,
)
from hgs.attestation.ci_policy.model import (
    CiPolicyBody,
    FileRule,
    FileRuleKind,
    Scenario,
    ScenarioValue,
    SecureSetting,
    Signer,
    SignerGroup,
    SignerUse,
)
from hgs.attestation.ci_policy.policy_file import MAX_POLICY, CiPolicy, build_ci_policy, parse_ci_policy

__all__ = [
    "ALWAYS_SET",
    "DEFAULT_FORMAT",
    "ENTERPRISE",
    "MAX_POLICY",
    "WINDOWS_PLATFORM",
    "CiPolicy",
    "CiPolicyBody",
    "CiPolicyHeader",
    "FileRule",
    "FileRuleKind",
    "PolicyDocument",
    "PolicyOption",
    "Scenario",
    "ScenarioValue",
    "SecureSetting",
    "Signer",
    "SignerGroup",
    "SignerUse",
    "Version",
    "build_ci_policy",
    "information",
    "parse_ci_policy",
    "version_text",
]
