"""What one policy allows or asks for that another does not, in sentences; and which of several is nearest.

Both policies are taken apart into statements (an option that is on; a rule that allows drivers; …) that hold on their
own, without positions. Two policies that make the same statements differ in nothing that matters, whatever their order.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from hgs.attestation.ci_policy.document import PolicyDocument
from hgs.attestation.ci_policy.header import POLICY_TYPES, CiPolicyHeader, PolicyOption, version_text
from hgs.attestation.ci_policy.model import CiPolicyBody, FileRuleKind, Scenario, SignerGroup, SignerUse
from hgs.attestation.ci_policy.policy_file import CiPolicy
from hgs.attestation.ci_policy.wording import (
    OPTION_MEANINGS,
    STRENGTHENING,
    WEAKENING,
    rule_in_words,
    scenario_in_words,
    signer_in_words,
)

Kind = Literal["added", "removed", "changed"]
Named = TypeVar("Named")
_FAR: Final = 1 << 30
_TYPE: Final = "Policy type"


@dataclass(frozen=True)
class PolicyDifference:
    """One difference. ``weakens``: the new policy lets more run, or is replaced more easily."""

    kind: Kind
    subject: str
    sentence: str
    weakens: bool = False


@dataclass(frozen=True)
class _Statement:
    """``grants`` is True for what lets more run, False for what lets less run, None for neither."""

    subject: str
    words: str
    grants: bool | None = None


def compare_policies(old: CiPolicy, new: CiPolicy) -> tuple[PolicyDifference, ...]:
    """Everything in which ``new`` differs from ``old``: mode and options first, then rules and signers.

    Where a body cannot be read, the headers and the contents as a whole are compared.
    """
    if old.document is not None and new.document is not None:
        return compare_documents(old.document, new.document)
    found = tuple(_of_headers(old.header, new.header))
    if old.digest == new.digest or found:
        return found
    return (PolicyDifference("changed", "Rules", "The rules differ in what cannot be shown", weakens=True),)


def compare_documents(old: PolicyDocument, new: PolicyDocument) -> tuple[PolicyDifference, ...]:
    """:func:`compare_policies` for policies that were read whole, with the names that their XML forms have."""
    before, after = _statements(old), _statements(new)
    removed = sorted(before.keys() - after.keys(), key=_order)
    added = sorted(after.keys() - before.keys(), key=_order)
    return (
        *(
            item
            for item in _of_headers(old.header, new.header)
            if item.subject != _TYPE or not _types_are_ids(old, new)
        ),
        *(_difference("removed", statement, before[statement]) for statement in removed),
        *(_difference("added", statement, after[statement]) for statement in added),
    )


def _types_are_ids(*documents: PolicyDocument) -> bool:
    """A base policy's type is its own id, which is a statement already."""
    return all(item.policy_type == item.body.base_policy_id for item in documents)


def nearest(policy: CiPolicy, registered: Iterable[tuple[Named, CiPolicy]]) -> tuple[Named, CiPolicy] | None:
    """The registered policy that differs least from ``policy``; None if there is none. The first of equals."""
    return min(registered, key=lambda item: _distance(item[1], policy), default=None)


def _distance(old: CiPolicy, new: CiPolicy) -> int:
    if old.digest == new.digest:
        return -1
    if old.document is None or new.document is None:
        return _FAR + len(compare_policies(old, new))
    before, after = _statements(old.document), _statements(new.document)
    return len(before.keys() ^ after.keys()) + len(list(_of_headers(old.header, new.header)))


def _difference(kind: Literal["added", "removed"], statement: _Statement, label: str) -> PolicyDifference:
    weakens = statement.grants is (kind == "added")
    words = f"{statement.words}{f' ({label})' if label and label not in statement.words else ''}"
    return PolicyDifference(kind, statement.subject, f"{statement.subject} {kind}: {words}", weakens)


def _order(statement: _Statement) -> tuple[str, str]:
    return statement.subject, statement.words


# Headers


def _of_headers(old: CiPolicyHeader, new: CiPolicyHeader) -> Iterator[PolicyDifference]:
    yield from _of_options(old.options, new.options)
    if old.policy_type != new.policy_type:
        kinds = (POLICY_TYPES.get(item, str(item)) for item in (old.policy_type, new.policy_type))
        yield PolicyDifference("changed", _TYPE, "Policy type: {} became {}".format(*kinds))
    if old.platform != new.platform:
        yield PolicyDifference("changed", "Platform", f"Platform: {old.platform} became {new.platform}")
    if old.version != new.version:
        sentence = f"Version {version_text(old.version)} became {version_text(new.version)}"
        yield PolicyDifference("changed", "Version", sentence, weakens=new.version < old.version)
    if old.format_version != new.format_version:
        yield PolicyDifference("changed", "Format", f"Format {old.format_version} became {new.format_version}")


def _of_options(old: int, new: int) -> Iterator[PolicyDifference]:
    for option, meaning in OPTION_MEANINGS.items():
        if (old ^ new) & option:
            on = bool(new & option)
            weakens = bool(option & (WEAKENING if on else STRENGTHENING))
            if option is PolicyOption.AUDIT_MODE:
                told = "on: nothing is refused any more" if on else "off: what is not allowed is refused"
                yield PolicyDifference("changed", "Mode", f"Audit mode switched {told}", weakens)
            else:
                sentence = f"Option switched {'on' if on else 'off'}: {meaning}"
                yield PolicyDifference("changed", "Options", sentence, weakens)
    unknown = (old ^ new) & ~sum(OPTION_MEANINGS)
    if unknown:
        yield PolicyDifference("changed", "Options", f"Unknown options 0x{unknown:08x} changed", weakens=True)


# Statements


def _statements(document: PolicyDocument) -> dict[_Statement, str]:
    """Every statement of a policy, with the name that the XML form gives it, if any."""
    body = document.body
    found: dict[_Statement, str] = {}
    for scenario in body.scenarios:
        found.update(_of_scenario(body, scenario))
    for title, signers in (
        ("Signer of policy updates", body.update_signers),
        ("Signer of supplemental policies", body.supplemental_signers),
        ("Signer for signing levels", body.ci_signers),
    ):
        for number in signers:
            found[_Statement(title, signer_in_words(body, body.signers[number]), grants=True)] = ""
    for setting in body.settings:
        value = setting.value.hex() if isinstance(setting.value, bytes) else setting.value
        words = f"{setting.provider}, {setting.key}, {setting.name} = {value}"
        found[_Statement("Setting", words)] = ""
    for app in body.apps:
        for item in app.settings:
            found[_Statement("Application setting", f"{app.manifest}, {item.name} = {item.value}")] = ""
    for title, guid in (("Policy id", body.policy_id), ("Base policy", body.base_policy_id)):
        if guid is not None:
            found[_Statement(title, str(guid))] = ""
    if body.hvci_options:
        found[_Statement("Hypervisor options", f"0x{body.hvci_options:08x}")] = ""
    for patch in body.hotpatches:
        words = f"{rule_in_words(body.file_rules[patch.base])}, from {patch.minimum} to {patch.maximum}"
        found[_Statement("Hotpatch", words)] = ""
    return found


def _of_scenario(body: CiPolicyBody, scenario: Scenario) -> Iterator[tuple[_Statement, str]]:
    about = scenario_in_words(scenario)
    yield _Statement("Scope", f"rules for {about}", grants=False), ""
    for title, group in (
        (about, scenario.product),
        (f"{about}, test signatures", scenario.test),
        (f"{about}, test-signing signatures", scenario.test_signing),
    ):
        yield from _of_group(body, title, group)
    if scenario.artifacts != SignerGroup():
        yield _Statement("Artifact rules", f"{scenario.artifacts} for {about}"), ""
    for number in scenario.inherited:
        yield (
            _Statement("Inheritance", f"{about} inherit the rules for {scenario_in_words(body.scenarios[number])}"),
            "",
        )
    yield _Statement("Hash algorithm", f"at least 0x{scenario.minimum_hash:04x} for {about}"), ""


def _of_group(body: CiPolicyBody, about: str, group: SignerGroup) -> Iterator[tuple[_Statement, str]]:
    for number in group.rules:
        rule = body.file_rules[number]
        grants = {FileRuleKind.ALLOW: True, FileRuleKind.DENY: False}.get(rule.kind)
        words = rule_in_words(rule).removesuffix(f" ({rule.label})")
        yield _Statement(f"Rule for {about}", words, grants), rule.label
    for use in group.allowed:
        yield _of_use(body, f"Signer for {about}", "allow", use)
    for use in group.denied:
        yield _of_use(body, f"Signer for {about}", "deny", use)


def _of_use(body: CiPolicyBody, subject: str, verb: str, use: SignerUse) -> tuple[_Statement, str]:
    signer = body.signers[use.signer]
    words = signer_in_words(body, signer).replace(f"certificate {signer.label} (", "certificate (", 1)
    if use.exceptions:
        rules = "; ".join(sorted(rule_in_words(body.file_rules[number]) for number in use.exceptions))
        words += f", except {rules}"
    return _Statement(subject, f"{verb} {words}", verb == "allow"), signer.label
