"""Reads the XML form of a policy. Every element and attribute must be known; every reference must lead somewhere.

Rules are put into the order in which converters write them, so that one XML gives one binary.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar
from uuid import UUID

from hgs.attestation.ci_policy.document import DEFAULT_FORMAT, PolicyDocument
from hgs.attestation.ci_policy.header import ALWAYS_SET, ENTERPRISE, NO_VERSION, PolicyOption
from hgs.attestation.ci_policy.model import (
    NO_MINIMUM_HASH,
    CiPolicyBody,
    FileRule,
    FileRuleKind,
    Scenario,
    SecureSetting,
    Signer,
    SignerGroup,
    SignerUse,
    rule_order,
)
from hgs.attestation.ci_policy.wording import eku_bytes
from hgs.attestation.ci_policy.writing import least_format
from hgs.attestation.ci_policy.xml_element import XmlElement, read_number, read_version
from hgs.attestation.ci_policy.xml_form import (
    BASE,
    OPTIONS,
    RULE_ELEMENTS,
    RULE_NAMES,
    SETTING_OPTIONS,
    SUPPLEMENTAL,
    default_minimum,
    filetime_of,
    parse_xml,
)
from hgs.attestation.errors import Malformed, Unsupported

T = TypeVar("T")
_OID: Final = re.compile(r"[0-2](\.\d{1,9}){1,20}")
_MACROS: Final = re.compile(r"(?:\$\([A-Za-z_][\w.]*\))+", re.ASCII)
_MACRO: Final = re.compile(r"\$\(([^)]+)\)")
_GUID: Final = re.compile(r"\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")
_IDS: Final = re.compile(r"ID_[A-Z][_A-Z0-9]{0,200}")
_GENERIC: Final = {"Match": FileRuleKind.ALLOW, "Exclude": FileRuleKind.DENY, "Attribute": FileRuleKind.ATTRIBUTE}
_PARTS: Final = {
    *("VersionEx", "PolicyTypeID", "PlatformID", "PolicyID", "BasePolicyID", "Rules", "EKUs", "FileRules", "Signers"),
    *("SigningScenarios", "UpdatePolicySigners", "CiSigners", "HvciOptions", "Settings", "Macros"),
    *("SupplementalPolicySigners",),
}


def read_policy_xml(data: bytes, format_version: int | None = None) -> PolicyDocument:
    """Read a policy's XML. ``format_version`` of the binary is not in it: 7, or a later one where rules need it.

    Raises ``TooLarge``, ``Malformed``, and ``Unsupported`` for AppID tagging policies and for elements that are not
    known here.
    """
    return _XmlReader(XmlElement(parse_xml(data))).read(format_version)


class _XmlReader:
    def __init__(self, root: XmlElement) -> None:
        self._root = root
        self._ekus: dict[str, int] = {}
        self._rules: dict[str, int] = {}
        self._signers: dict[str, int] = {}
        self._scenarios: dict[str, int] = {}
        self._macros: dict[str, str] = {}

    def read(self, format_version: int | None) -> PolicyDocument:
        root = self._root.only(("FriendlyName", "PolicyType"), _PARTS)
        kind = root.get("PolicyType", BASE)
        if kind not in (BASE, SUPPLEMENTAL):
            raise Unsupported(f"A policy of the type {kind[:40]!r} decides nothing about drivers; it is not supported.")
        options, of_options = self._options()
        if kind == SUPPLEMENTAL:
            options |= PolicyOption.SUPPLEMENTAL
        body = self._body(of_options)
        chosen = max(DEFAULT_FORMAT, least_format(body)) if format_version is None else format_version
        policy_type, ids = self._identity(chosen)
        return PolicyDocument(
            body=CiPolicyBody(**{**body.__dict__, **ids}),
            options=options,
            version=read_version(root.need("VersionEx").text, "VersionEx"),
            policy_type=policy_type,
            platform=_guid(root.need("PlatformID").text),
            format_version=chosen,
            label=root.get("FriendlyName"),
        )

    def _options(self) -> tuple[int, list[SecureSetting]]:
        options, settings = ALWAYS_SET, []
        for rule in self._root.listed("Rules", "Rule"):
            name = rule.only(children=("Option",)).need("Option").text.strip()
            if name in OPTIONS:
                options |= OPTIONS[name]
            elif name in SETTING_OPTIONS:
                settings.append(SETTING_OPTIONS[name])
            else:
                raise Unsupported(f"The policy has an option that is not supported: {name[:60]!r}.")
        return options, settings

    def _identity(self, format_version: int) -> tuple[UUID, dict[str, UUID]]:
        given = {name: _guid(child.text) for name in _IDENTITIES if (child := self._root.child(name))}
        base = given.get("BasePolicyID") or given.get("PolicyID")
        policy_type = given.get("PolicyTypeID") or base or ENTERPRISE
        policy_id = given.get("PolicyID") or base or policy_type
        if format_version >= 6:
            return policy_type, {"policy_id": policy_id, "base_policy_id": base or policy_type}
        if {policy_id, base or policy_type} != {policy_type}:
            raise Unsupported(f"A policy of format {format_version} has no id of its own; format 6 has.")
        return policy_type, {}

    def _body(self, of_options: list[SecureSetting]) -> CiPolicyBody:
        root = self._root
        for macro in root.listed("Macros", "Macro"):
            self._macros[macro.only(("Id", "Value")).must("Id")] = macro.get("Value")
        ekus = self._items(root.listed("EKUs", "EKU"), self._ekus, _eku)
        rules = sorted(map(self._rule, root.listed("FileRules", *RULE_ELEMENTS, "FileRule")), key=rule_order)
        self._rules = _by_id((rule.id for rule in rules), "file rule")
        signers = self._items(root.listed("Signers", "Signer"), self._signers, self._signer)
        elements = root.listed("SigningScenarios", "SigningScenario")
        self._scenarios = _by_id((element.must("ID") for element in elements), "signing scenario")
        settings = [self._setting(element) for element in root.listed("Settings", "Setting")]
        hvci = root.child("HvciOptions")
        return CiPolicyBody(
            ekus=ekus,
            file_rules=tuple(rules),
            signers=signers,
            update_signers=self._signer_list("UpdatePolicySigners"),
            ci_signers=self._signer_list("CiSigners"),
            scenarios=tuple(map(self._scenario, elements)),
            hvci_options=read_number(hvci.text, 0xFFFFFFFF, "HvciOptions") if hvci else 0,
            settings=tuple(sorted([*settings, *of_options], key=_setting_order)),
            supplemental_signers=self._signer_list("SupplementalPolicySigners"),
        )

    def _items(
        self, elements: list[XmlElement], index: dict[str, int], read: Callable[[XmlElement], T]
    ) -> tuple[T, ...]:
        index |= _by_id((element.must("ID") for element in elements), elements[0].name if elements else "")
        return tuple(map(read, elements))

    def _signer_list(self, name: str) -> tuple[int, ...]:
        elements = (element.only(("SignerId",)) for element in self._root.listed(name, name.removesuffix("s")))
        return tuple(_find(self._signers, element.must("SignerId")) for element in elements)

    def _rule(self, element: XmlElement) -> FileRule:
        generic = element.name == "FileRule"
        element.only((*_RULE_ATTRIBUTES, *(("Type",) if generic else ())))
        kind = _GENERIC.get(element.get("Type")) if generic else RULE_ELEMENTS.get(element.name)
        if kind is None:
            raise Malformed(f"The policy has a file rule of an unknown kind: {element.name} {element.get('Type')}.")
        least, most = element.version("MinimumFileVersion"), element.version("MaximumFileVersion")
        return FileRule(
            kind,
            minimum_version=default_minimum(kind, has_maximum=most is not None) if least is None else least,
            maximum_version=most or NO_VERSION,
            hash=element.hex("Hash"),
            app_ids=self._app_ids(element.get("AppIDs")),
            package_version=element.version("PackageVersion") or NO_VERSION,
            label=element.get("FriendlyName"),
            id=element.must("ID"),
            **{field: element.get(name) for name, field in RULE_NAMES.items()},
        )

    def _app_ids(self, value: str) -> tuple[str, ...]:
        if not _MACROS.fullmatch(value):
            return (value,) if value else ()
        names = _MACRO.findall(value)
        unknown = [name for name in names if name not in self._macros]
        if unknown:
            raise Malformed(f"The policy uses a macro that it does not define: {unknown[0][:60]}.")
        return tuple(self._macros[name] for name in names)

    def _signer(self, element: XmlElement) -> Signer:
        element.only(("ID", "Name", "SignTimeAfter"), _SIGNER_PARTS)
        root = element.need("CertRoot").only(("Type", "Value"))
        kind, value = root.must("Type"), root.hex("Value")
        if kind not in ("TBS", "Wellknown") or (kind == "Wellknown" and len(value) != 1):
            raise Malformed("A signer of the policy has a CertRoot that is neither a TBS hash nor a well-known number.")
        issuer, publisher, oem_id = (_named(element.child(name)) for name in _SIGNER_NAMES)
        since = element.get("SignTimeAfter")
        plain, barred = self._key_usages(element)
        return Signer(
            tbs=value if kind == "TBS" else b"",
            well_known=None if kind == "TBS" else value[0],
            ekus=plain,
            issuer=issuer,
            publisher=publisher,
            oem_id=oem_id,
            except_ekus=barred,
            attributes=self._references(element, "FileAttribRef", "RuleID"),
            sign_time_after=filetime_of(since) if since else 0,
            label=element.get("Name"),
            id=element.must("ID"),
        )

    def _key_usages(self, element: XmlElement) -> tuple[tuple[int, ...], tuple[int, ...]]:
        found: tuple[list[int], list[int]] = ([], [])
        for child in element.children():
            if child.name == "CertEKU":
                condition = child.only(("ID", "Condition")).get("Condition")
                if condition not in ("", "Except"):
                    raise Unsupported(f"A CertEKU has a condition that is not supported: {condition[:40]}.")
                found[bool(condition)].append(_find(self._ekus, child.must("ID")))
        return tuple(found[0]), tuple(found[1])

    def _references(self, element: XmlElement, name: str, attribute: str) -> tuple[int, ...]:
        children = (child.only((attribute,)) for child in element.children() if child.name == name)
        return tuple(_find(self._rules, child.must(attribute)) for child in children)

    def _scenario(self, element: XmlElement) -> Scenario:
        element.only(("ID", "FriendlyName", "Value", "InheritedScenarios", "MinimumHashAlgorithm"), _GROUPS)
        inherited = [item for item in element.get("InheritedScenarios").split(",") if item]
        product, test, test_signing = (self._group(element.child(name)) for name in _GROUPS)
        return Scenario(
            element.number("Value", 255),
            tuple(_find(self._scenarios, item) for item in inherited),
            element.number("MinimumHashAlgorithm", 0xFFFF, NO_MINIMUM_HASH),
            product,
            test,
            test_signing,
            label=element.get("FriendlyName"),
            id=element.must("ID"),
        )

    def _group(self, element: XmlElement | None) -> SignerGroup:
        if element is None:
            return SignerGroup()
        element.only(children=("AllowedSigners", "DeniedSigners", "FileRulesRef"))
        rules = element.child("FileRulesRef")
        return SignerGroup(
            tuple(
                self._use(child, "ExceptDenyRule", "DenyRuleID")
                for child in element.listed("AllowedSigners", "AllowedSigner")
            ),
            tuple(
                self._use(child, "ExceptAllowRule", "AllowRuleID")
                for child in element.listed("DeniedSigners", "DeniedSigner")
            ),
            tuple(sorted(self._references(rules.only(("Workaround",), ("FileRuleRef",)), "FileRuleRef", "RuleID")))
            if rules
            else (),
        )

    def _use(self, element: XmlElement, exception: str, attribute: str) -> SignerUse:
        element.only(("SignerId",), (exception,))
        signer = _find(self._signers, element.must("SignerId"))
        return SignerUse(signer, self._references(element, exception, attribute))

    def _setting(self, element: XmlElement) -> SecureSetting:
        element.only(("Provider", "Key", "ValueName"), ("Value",))
        values = element.need("Value").only(children=_VALUES).children()
        if len(values) != 1:
            raise Malformed("A setting of the policy must have exactly one value.")
        value = _VALUES[values[0].name](values[0].text)
        return SecureSetting(element.must("Provider"), element.must("Key"), element.must("ValueName"), value)


_IDENTITIES: Final = ("PolicyTypeID", "PolicyID", "BasePolicyID")
_RULE_ATTRIBUTES: Final = (
    *("ID", "FriendlyName", "Hash", "AppIDs", "MinimumFileVersion", "MaximumFileVersion", "PackageVersion"),
    *RULE_NAMES,
)
_SIGNER_NAMES: Final = ("CertIssuer", "CertPublisher", "CertOemID")
_SIGNER_PARTS: Final = ("CertRoot", "CertEKU", "FileAttribRef", *_SIGNER_NAMES)
_GROUPS: Final = ("ProductSigners", "TestSigners", "TestSigningSigners")


def _named(element: XmlElement | None) -> str:
    return element.only(("Value",)).get("Value") if element else ""


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.strip() not in values:
        raise Malformed("A setting of the policy is neither true nor false.")
    return values[text.strip()]


def _binary(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Malformed("A setting of the policy is not hexadecimal.") from error


_VALUES: Final[dict[str, Callable[[str], bool | int | bytes | str]]] = {
    "Boolean": _boolean,
    "DWord": lambda text: read_number(text, 0xFFFFFFFF, "setting"),
    "Binary": _binary,
    "String": str,
}


def _eku(element: XmlElement) -> bytes:
    element.only(("ID", "Value", "OID", "FriendlyName"))
    oid = element.get("OID")
    if not oid:
        return element.hex("Value")
    if not _OID.fullmatch(oid):
        raise Malformed(f"A key usage of the policy is no object identifier: {oid[:60]}.")
    return eku_bytes(oid)


def _by_id(ids: Iterable[str], what: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, item in enumerate(ids):
        if not _IDS.fullmatch(item) or item in found:
            raise Malformed(f"The policy has two of the id {item[:60]!r}, or it is no id of a {what}.")
        found[item] = number
    return found


def _find(index: dict[str, int], item: str) -> int:
    if item not in index:
        raise Malformed(f"The policy refers to {item[:60]!r}, which it does not have.")
    return index[item]


def _guid(text: str) -> UUID:
    if not _GUID.fullmatch(text.strip()):
        raise Malformed(f"The policy has an id that is no GUID: {text[:60]!r}.")
    return UUID(text.strip())


def _setting_order(setting: SecureSetting) -> tuple[str, ...]:
    return setting.provider.upper(), setting.key.upper(), setting.name.upper()
