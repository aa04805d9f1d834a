"""Code-integrity policies (SIPolicy): files, the digest that hosts measure, rules, and what they decide.

`docs/formats/ci-policy.md` describes the format.
"""

from hgs.attestation.ci_policy.building import PolicyBuilder, PublisherRule
from hgs.attestation.ci_policy.differences import PolicyDifference, compare_documents, compare_policies, nearest
from hgs.attestation.ci_policy.document import DEFAULT_FORMAT, PolicyDocument, information
from hgs.attestation.ci_policy.evaluation import Allowed, Answer, Evaluator, Refused, Undecided, evaluate
from hgs.attestation.ci_policy.header import (
    ALWAYS_SET,
    ENTERPRISE,
    WINDOWS_PLATFORM,
    CiPolicyHeader,
    PolicyOption,
    Version,
    version_text,
)
from hgs.attestation.ci_policy.image import ImageFacts, SignatureFacts
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
from hgs.attestation.ci_policy.registered import PolicyRules, facts_from_log
from hgs.attestation.ci_policy.wording import options_in_words, rule_in_words, scenario_in_words, signer_in_words
from hgs.attestation.ci_policy.xml_reading import read_policy_xml
from hgs.attestation.ci_policy.xml_writing import write_policy_xml

__all__ = [
    "ALWAYS_SET",
    "DEFAULT_FORMAT",
    "ENTERPRISE",
    "MAX_POLICY",
    "WINDOWS_PLATFORM",
    "Allowed",
    "Answer",
    "CiPolicy",
    "CiPolicyBody",
    "CiPolicyHeader",
    "Evaluator",
    "FileRule",
    "FileRuleKind",
    "ImageFacts",
    "PolicyBuilder",
    "PolicyDifference",
    "PolicyDocument",
    "PolicyOption",
    "PolicyRules",
    "PublisherRule",
    "Refused",
    "Scenario",
    "ScenarioValue",
    "SecureSetting",
    "SignatureFacts",
    "Signer",
    "SignerGroup",
    "SignerUse",
    "Undecided",
    "Version",
    "build_ci_policy",
    "compare_documents",
    "compare_policies",
    "evaluate",
    "facts_from_log",
    "information",
    "nearest",
    "options_in_words",
    "parse_ci_policy",
    "read_policy_xml",
    "rule_in_words",
    "scenario_in_words",
    "signer_in_words",
    "version_text",
    "write_policy_xml",
]
