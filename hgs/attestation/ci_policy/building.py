"""Makes a policy out of what shall be allowed. The order in which things are allowed makes no difference."""

from dataclasses import dataclass, field, replace
from uuid import UUID

from hgs.attestation.ci_policy.document import DEFAULT_FORMAT, PolicyDocument, information
from hgs.attestation.ci_policy.header import ALWAYS_SET, ENTERPRISE, Version
from hgs.attestation.ci_policy.model import (
    CiPolicyBody,
    FileRule,
    FileRuleKind,
    Scenario,
    ScenarioValue,
    Signer,
    SignerGroup,
    SignerUse,
    rule_order,
)


@dataclass(frozen=True)
class PublisherRule:
    """Whom the authority with that TBS hash calls ``publisher``. ``authority`` is its name, for people alone."""

    tbs: bytes
    publisher: str
    authority: str = field(default="", compare=False)


@dataclass
class _Allowed:
    hashes: dict[bytes, str] = field(default_factory=dict)
    publishers: dict[PublisherRule, None] = field(default_factory=dict)
    files: dict[PublisherRule, dict[str, FileRule]] = field(default_factory=dict)


class PolicyBuilder:
    """Collects what is allowed for drivers and for programs; the same said twice is said once."""

    def __init__(self) -> None:
        self._drivers = _Allowed()
        self._programs = _Allowed()

    def allow_hash(self, digest: bytes, *, drivers: bool, label: str = "") -> None:
        """Allow one image by its Authenticode hash."""
        self._of(drivers).hashes.setdefault(digest, label)

    def allow_publisher(self, rule: PublisherRule, *, drivers: bool) -> None:
        """Allow all that a publisher signs."""
        self._of(drivers).publishers[rule] = None

    def allow_file(
        self, rule: PublisherRule, original_name: str, least: Version, *, drivers: bool, label: str = ""
    ) -> None:
        """Allow a publisher's file of that name, from a version on; the lowest version said for a name holds."""
        files = self._of(drivers).files.setdefault(rule, {})
        key = original_name.upper()
        known = files.get(key)
        if known is None or least < known.minimum_version:
            attribute = FileRule(FileRuleKind.ATTRIBUTE, original_name, least, label=label)
            files[key] = replace(attribute, label=known.label or label) if known else attribute

    def build(self, options: int, version: Version, *, name: str = "", policy_id: UUID | None = None) -> PolicyDocument:
        """The policy, format 7. With ``policy_id`` it is a base policy of that id, else the one enterprise policy."""
        rules = self._rules()
        numbers = {rule: number for number, rule in enumerate(rules)}
        signers: dict[Signer, int] = {}
        groups = [self._group(allowed, numbers, signers) for allowed in (self._drivers, self._programs)]
        chosen = policy_id or ENTERPRISE
        body = CiPolicyBody(
            file_rules=tuple(rules),
            signers=tuple(signers),
            scenarios=(
                Scenario(ScenarioValue.KERNEL, product=groups[0], label="Drivers"),
                Scenario(ScenarioValue.USER_MODE, product=groups[1], label="Programs"),
            ),
            settings=information(name),
            policy_id=chosen,
            base_policy_id=chosen,
        )
        return PolicyDocument(
            body, options | ALWAYS_SET, version, policy_type=chosen, format_version=DEFAULT_FORMAT, label=name
        )

    def _of(self, drivers: bool) -> _Allowed:
        return self._drivers if drivers else self._programs

    def _rules(self) -> list[FileRule]:
        found: dict[FileRule, None] = {}
        for allowed in (self._drivers, self._programs):
            hashes = sorted(allowed.hashes.items())
            found |= dict.fromkeys(FileRule(FileRuleKind.ALLOW, hash=digest, label=name) for digest, name in hashes)
            for files in allowed.files.values():
                found |= dict.fromkeys(files.values())
        return sorted(found, key=lambda rule: (rule_order(rule), rule.minimum_version))

    def _group(self, allowed: _Allowed, numbers: dict[FileRule, int], signers: dict[Signer, int]) -> SignerGroup:
        wanted = [_signer(rule, ()) for rule in allowed.publishers]
        for rule, files in allowed.files.items():
            if rule not in allowed.publishers:
                wanted.append(_signer(rule, tuple(sorted(numbers[item] for item in files.values()))))
        wanted.sort(key=lambda signer: (signer.publisher, signer.tbs, signer.attributes))
        uses = tuple(SignerUse(signers.setdefault(signer, len(signers))) for signer in wanted)
        hashes = (numbers[FileRule(FileRuleKind.ALLOW, hash=digest)] for digest in allowed.hashes)
        return SignerGroup(allowed=uses, rules=tuple(sorted(hashes)))


def _signer(rule: PublisherRule, attributes: tuple[int, ...]) -> Signer:
    return Signer(rule.tbs, publisher=rule.publisher, attributes=attributes, label=rule.authority)
