"""A policy as a record: for people line by line, for programs whole."""

from typing import Any

from hgs.attestation.ci_policy import (
    CiPolicy,
    CiPolicyBody,
    PolicyDocument,
    Scenario,
    SignerUse,
    options_in_words,
    rule_in_words,
    scenario_in_words,
    signer_in_words,
    version_text,
)
from hgs.attestation.ci_policy.header import POLICY_TYPES
from hgs.attestation.ci_policy.model import SignerGroup
from hgs.attestation.ci_policy.wording import OPTION_NAMES

FIELDS = (
    ("name", "Name"),
    ("information_id", "Id given to it"),
    ("version", "Version"),
    ("mode", "Mode"),
    ("policy_type", "Policy type"),
    ("policy_id", "Policy id"),
    ("base_policy_id", "Base policy"),
    ("format", "Format"),
    ("signed", "Signed file"),
    ("digest", "Measured digest (SHA-256)"),
    ("options", "Options"),
    ("drivers", "Drivers"),
    ("programs", "Programs"),
    ("other", "Other code"),
    ("update_signers", "May sign updates"),
    ("supplemental_signers", "May sign supplements"),
    ("settings", "Settings"),
    ("warnings", "Warnings"),
)


def report(policy: CiPolicy, document: PolicyDocument | None) -> dict[str, Any]:
    """Everything that the policy says. ``document`` may have names that the binary lacks."""
    header = policy.header
    found: dict[str, Any] = {
        "format": header.format_version,
        "version": header.version_text,
        "mode": "audit" if header.audit else "enforced",
        "policy_type": POLICY_TYPES.get(header.policy_type, str(header.policy_type)),
        "platform": str(header.platform),
        "signed": policy.signed,
        "digest": policy.digest,
        "options": options_in_words(header.options),
        "option_names": [name for option, name in OPTION_NAMES.items() if header.options & option],
        "counts": {
            "key_usages": header.ekus,
            "file_rules": header.file_rules,
            "signers": header.signers,
            "scenarios": header.scenarios,
        },
        "warnings": policy.warnings,
    }
    return found if document is None else found | _contents(document)


def _contents(document: PolicyDocument) -> dict[str, Any]:
    body = document.body
    by_scenario: dict[str, list[str]] = {"drivers": [], "programs": [], "other": []}
    for scenario in body.scenarios:
        about = scenario_in_words(scenario)
        lines = _scenario(body, scenario)
        if about in by_scenario:
            by_scenario[about] += lines or ["nothing is allowed"]
        else:
            by_scenario["other"] += [f"{about}: {line}" for line in lines]
    return {
        "name": document.name,
        "information_id": document.information_id,
        "policy_id": str(body.policy_id) if body.policy_id else "",
        "base_policy_id": str(body.base_policy_id) if body.base_policy_id else "",
        **by_scenario,
        "update_signers": [signer_in_words(body, body.signers[number]) for number in body.update_signers],
        "supplemental_signers": [signer_in_words(body, body.signers[number]) for number in body.supplemental_signers],
        "settings": [_setting(item.provider, item.key, item.name, item.value) for item in body.settings],
        "rules": [_rule(number, body) for number in range(len(body.file_rules))],
        "hvci_options": body.hvci_options,
    }


def _scenario(body: CiPolicyBody, scenario: Scenario) -> list[str]:
    lines = _group(body, scenario.product)
    lines += [f"with test signatures: {line}" for line in _group(body, scenario.test)]
    lines += [f"with test-signing signatures: {line}" for line in _group(body, scenario.test_signing)]
    lines += [f"as for {scenario_in_words(body.scenarios[number])}" for number in scenario.inherited]
    return lines


def _group(body: CiPolicyBody, group: SignerGroup) -> list[str]:
    return [
        *(rule_in_words(body.file_rules[number]) for number in group.rules),
        *(_use(body, "allow", use) for use in group.allowed),
        *(_use(body, "deny", use) for use in group.denied),
    ]


def _use(body: CiPolicyBody, verb: str, use: SignerUse) -> str:
    rules = "; ".join(rule_in_words(body.file_rules[number]) for number in use.exceptions)
    exceptions = f", except {rules}" if rules else ""
    return f"{verb} what is signed by {signer_in_words(body, body.signers[use.signer])}{exceptions}"


def _setting(provider: str, key: str, name: str, value: object) -> str:
    return f"{provider}, {key}, {name} = {value.hex() if isinstance(value, bytes) else value}"


def _rule(number: int, body: CiPolicyBody) -> dict[str, Any]:
    rule = body.file_rules[number]
    return {
        "kind": rule.kind.name.lower(),
        "words": rule_in_words(rule),
        "hash": rule.hash.hex(),
        "file_name": rule.file_name,
        "minimum_version": version_text(rule.minimum_version),
        "maximum_version": version_text(rule.maximum_version),
        "path": rule.path,
        "label": rule.label,
    }
