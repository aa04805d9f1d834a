"""Writes the XML form of a policy: what the binary says, with ids made up where it has none."""

import re
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from lxml import etree

from hgs.attestation.ci_policy.document import PolicyDocument
from hgs.attestation.ci_policy.header import ALWAYS_SET, NO_VERSION, POLICY_TYPES, PolicyOption, version_text
from hgs.attestation.ci_policy.model import (
    NO_MINIMUM_HASH,
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
from hgs.attestation.ci_policy.wording import OPTION_NAMES
from hgs.attestation.ci_policy.xml_form import (
    BASE,
    NAMESPACE,
    RULE_ELEMENTS,
    RULE_NAMES,
    SUPPLEMENTAL,
    default_minimum,
    time_of,
)
from hgs.attestation.errors import Unsupported

_PREFIXES: Final = {
    FileRuleKind.DENY: "ID_DENY_A",
    FileRuleKind.ALLOW: "ID_ALLOW_A",
    FileRuleKind.ATTRIBUTE: "ID_FILEATTRIB_A",
}
_IDS: Final = re.compile(r"ID_[A-Z][_A-Z0-9]{0,200}")
_SCENARIOS: Final = {
    ScenarioValue.KERNEL.value: "ID_SIGNINGSCENARIO_DRIVERS",
    ScenarioValue.USER_MODE.value: "ID_SIGNINGSCENARIO_WINDOWS",
}
_ELEMENTS: Final = {kind: name for name, kind in RULE_ELEMENTS.items()}


def write_policy_xml(document: PolicyDocument) -> bytes:
    """The policy as XML, UTF-8, indented. Raises ``Unsupported`` for what the XML form as we write it cannot hold."""
    try:
        root = _XmlWriter(document).root()
    except ValueError as error:
        raise Unsupported("The policy has a text with characters that XML cannot hold.") from error
    etree.indent(root)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8")) + b"\n"


def _element(parent: etree._Element, name: str, text: str = "", **attributes: str) -> etree._Element:
    found = etree.SubElement(
        parent, f"{{{NAMESPACE}}}{name}", {key: value for key, value in attributes.items() if value}
    )
    if text:
        found.text = text
    return found


class _XmlWriter:
    def __init__(self, document: PolicyDocument) -> None:
        self._document = document
        self._body = body = document.body
        self._refuse_what_xml_lacks(body)
        self._ekus = [f"ID_EKU_E_{number:04d}" for number in range(1, len(body.ekus) + 1)]
        self._rules = _ids((rule.id for rule in body.file_rules), [_PREFIXES[rule.kind] for rule in body.file_rules])
        self._signers = _ids((item.id for item in body.signers), ["ID_SIGNER_S"] * len(body.signers))
        prefixes = [_SCENARIOS.get(item.value, "ID_SIGNINGSCENARIO_S") for item in body.scenarios]
        self._scenarios = _ids((item.id for item in body.scenarios), prefixes)
        self._macros: dict[str, str] = {}

    def root(self) -> etree._Element:
        document, body = self._document, self._body
        root = etree.fromstring(f'<SiPolicy xmlns="{NAMESPACE}"/>')
        if document.label:
            root.set("FriendlyName", document.label)
        _element(root, "VersionEx", version_text(document.version))
        self._identity(root)
        _element(root, "PlatformID", _braced(document.platform))
        self._options(_element(root, "Rules"))
        ekus = _element(root, "EKUs")
        for name, eku in zip(self._ekus, body.ekus, strict=True):
            _element(ekus, "EKU", ID=name).set("Value", eku.hex().upper())
        rules = _element(root, "FileRules")
        for name, rule in zip(self._rules, body.file_rules, strict=True):
            self._rule(rules, name, rule)
        signers = _element(root, "Signers")
        for name, signer in zip(self._signers, body.signers, strict=True):
            self._signer(signers, name, signer)
        scenarios = _element(root, "SigningScenarios")
        for name, scenario in zip(self._scenarios, body.scenarios, strict=True):
            self._scenario(scenarios, name, scenario)
        self._signer_list(root, "UpdatePolicySigner", body.update_signers)
        self._signer_list(root, "CiSigner", body.ci_signers)
        _element(root, "HvciOptions", str(body.hvci_options))
        self._settings(root)
        if self._macros:
            macros = _element(root, "Macros")
            for value, name in self._macros.items():
                _element(macros, "Macro", Id=name).set("Value", value)
        self._signer_list(root, "SupplementalPolicySigner", body.supplemental_signers)
        return root

    def _refuse_what_xml_lacks(self, body: CiPolicyBody) -> None:
        artifacts = any(item.artifacts for item in body.signers)
        artifacts |= any(item.artifacts != SignerGroup() for item in body.scenarios)
        if body.apps:
            raise Unsupported("The policy has settings of applications, whose XML form needs their manifests.")
        if body.hotpatches or body.artifact_rules or artifacts:
            raise Unsupported("The policy has rules about hotpatches or artifacts, which are not written as XML.")

    def _identity(self, root: etree._Element) -> None:
        document, body = self._document, self._body
        ids = {body.policy_id, body.base_policy_id}
        single = ids == {None} or (ids == {document.policy_type} and document.policy_type in POLICY_TYPES)
        if single or document.policy_type != body.base_policy_id:
            _element(root, "PolicyTypeID", _braced(document.policy_type))
        if not single:
            _element(root, "PolicyID", _braced(body.policy_id or UUID(int=0)))
            _element(root, "BasePolicyID", _braced(body.base_policy_id or UUID(int=0)))
        supplemental = bool(document.options & PolicyOption.SUPPLEMENTAL)
        if supplemental or not single:
            root.set("PolicyType", SUPPLEMENTAL if supplemental else BASE)

    def _options(self, rules: etree._Element) -> None:
        options = self._document.options & ~ALWAYS_SET & ~int(PolicyOption.SUPPLEMENTAL)
        for option, name in OPTION_NAMES.items():
            if options & option:
                _element(_element(rules, "Rule"), "Option", name)
        unknown = options & ~sum(OPTION_NAMES)
        if unknown:
            raise Unsupported(f"The policy has options that the XML form has no name for: 0x{unknown:08x}.")

    def _rule(self, parent: etree._Element, name: str, rule: FileRule) -> None:
        found = _element(parent, _ELEMENTS[rule.kind], ID=name, FriendlyName=rule.label)
        for attribute, field in RULE_NAMES.items():
            if value := getattr(rule, field):
                found.set(attribute, value)
        has_maximum = rule.maximum_version != NO_VERSION
        if rule.minimum_version != default_minimum(rule.kind, has_maximum=has_maximum):
            found.set("MinimumFileVersion", version_text(rule.minimum_version))
        if has_maximum:
            found.set("MaximumFileVersion", version_text(rule.maximum_version))
        if rule.package_version != NO_VERSION:
            found.set("PackageVersion", version_text(rule.package_version))
        if rule.app_ids:
            found.set("AppIDs", self._app_ids(rule.app_ids))
        if rule.hash:
            found.set("Hash", rule.hash.hex().upper())

    def _app_ids(self, values: Sequence[str]) -> str:
        if len(values) == 1 and values[0] and not values[0].startswith("$"):
            return values[0]
        names = [self._macros.setdefault(value, f"M{len(self._macros) + 1}") for value in values]
        return "".join(f"$({name})" for name in names)

    def _signer(self, parent: etree._Element, name: str, signer: Signer) -> None:
        found = _element(parent, "Signer", ID=name, Name=signer.label)
        if signer.sign_time_after:
            found.set("SignTimeAfter", time_of(signer.sign_time_after))
        if signer.well_known is None:
            _element(found, "CertRoot", Type="TBS").set("Value", signer.tbs.hex().upper())
        elif signer.well_known > 0xFF:
            raise Unsupported(f"The policy names a well-known root {signer.well_known}, which XML cannot hold.")
        else:
            _element(found, "CertRoot", Type="Wellknown", Value=f"{signer.well_known:02X}")
        for number in signer.ekus:
            _element(found, "CertEKU", ID=self._ekus[number])
        for number in signer.except_ekus:
            _element(found, "CertEKU", ID=self._ekus[number], Condition="Except")
        for title, value in (
            ("CertIssuer", signer.issuer),
            ("CertPublisher", signer.publisher),
            ("CertOemID", signer.oem_id),
        ):
            if value:
                _element(found, title, Value=value)
        for number in signer.attributes:
            _element(found, "FileAttribRef", RuleID=self._rules[number])

    def _scenario(self, parent: etree._Element, name: str, scenario: Scenario) -> None:
        if scenario.value > 0xFF or scenario.minimum_hash > 0xFFFF:
            raise Unsupported("The policy has a scenario with numbers that XML cannot hold.")
        found = _element(parent, "SigningScenario", Value=str(scenario.value), ID=name, FriendlyName=scenario.label)
        if scenario.inherited:
            found.set("InheritedScenarios", ",".join(self._scenarios[number] for number in scenario.inherited))
        if scenario.minimum_hash != NO_MINIMUM_HASH:
            found.set("MinimumHashAlgorithm", str(scenario.minimum_hash))
        self._group(_element(found, "ProductSigners"), scenario.product)
        for title, group in (("TestSigners", scenario.test), ("TestSigningSigners", scenario.test_signing)):
            if group != SignerGroup():
                self._group(_element(found, title), group)

    def _group(self, parent: etree._Element, group: SignerGroup) -> None:
        self._uses(parent, "AllowedSigner", group.allowed, "ExceptDenyRule", "DenyRuleID")
        self._uses(parent, "DeniedSigner", group.denied, "ExceptAllowRule", "AllowRuleID")
        if group.rules:
            found = _element(parent, "FileRulesRef")
            for number in group.rules:
                _element(found, "FileRuleRef", RuleID=self._rules[number])

    def _uses(
        self, parent: etree._Element, name: str, uses: Sequence[SignerUse], exception: str, attribute: str
    ) -> None:
        if not uses:
            return
        listed = _element(parent, f"{name}s")
        for use in uses:
            found = _element(listed, name, SignerId=self._signers[use.signer])
            for number in use.exceptions:
                _element(found, exception).set(attribute, self._rules[number])

    def _signer_list(self, root: etree._Element, name: str, signers: Sequence[int]) -> None:
        if signers:
            found = _element(root, f"{name}s")
            for number in signers:
                _element(found, name, SignerId=self._signers[number])

    def _settings(self, root: etree._Element) -> None:
        if self._body.settings:
            found = _element(root, "Settings")
            for setting in self._body.settings:
                named = _element(found, "Setting", Provider=setting.provider, Key=setting.key, ValueName=setting.name)
                _element(_element(named, "Value"), *_value(setting))


def _value(setting: SecureSetting) -> tuple[str, str]:
    value = setting.value
    if isinstance(value, bool):
        return "Boolean", "true" if value else "false"
    if isinstance(value, int):
        return "DWord", str(value)
    return ("Binary", value.hex().upper()) if isinstance(value, bytes) else ("String", value)


def _ids(given: Iterable[str], prefixes: Sequence[str]) -> list[str]:
    """The ids that are given, where they are valid and given once; others are made up and are none of those."""
    wanted = list(given)
    taken = {item for item in wanted if _IDS.fullmatch(item)}
    found, used = [], set()
    for number, (item, prefix) in enumerate(zip(wanted, prefixes, strict=True), 1):
        name = item
        if item not in taken or item in used:
            name = f"{prefix}_{number:04d}"
            while name in taken or name in used:
                name += "_X"
        used.add(name)
        found.append(name)
    return found


def _braced(guid: UUID) -> str:
    return "{" + str(guid).upper() + "}"
