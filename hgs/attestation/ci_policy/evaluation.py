"""Does a policy allow an image? Three answers: allowed, refused, or not to be decided from what is known.

Deny beats allow. Every comparison has three outcomes; what is not known never becomes a yes or a no. Rules about paths,
packages and applications never hold for drivers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Final, Self

from hgs.attestation.ci_policy.header import MAX_VERSION, NO_VERSION, PolicyOption
from hgs.attestation.ci_policy.image import ImageFacts, SignatureFacts
from hgs.attestation.ci_policy.model import (
    CiPolicyBody,
    FileRule,
    FileRuleKind,
    Scenario,
    ScenarioValue,
    Signer,
    SignerGroup,
    SignerUse,
)
from hgs.attestation.ci_policy.wording import eku_text, rule_in_words, signer_in_words, version_bounds


@dataclass(frozen=True)
class Allowed:
    """``rule`` says in words what allows the image."""

    rule: str


@dataclass(frozen=True)
class Refused:
    """``reason`` is a clause: ``no rule allows it``."""

    reason: str


@dataclass(frozen=True)
class Undecided:
    """``why`` is a clause that says what would have to be known."""

    why: str


Answer = Allowed | Refused | Undecided


class _Match(IntEnum):
    """In rising order, so that all of several conditions is the least and any of them the greatest."""

    NO = 0
    UNKNOWN = 1
    YES = 2

    @classmethod
    def of(cls, known: bool | None) -> "_Match":
        return cls.UNKNOWN if known is None else cls.YES if known else cls.NO


_EVIDENCE: Final = int(PolicyOption.WHQL | PolicyOption.EV_SIGNERS)


def evaluate(
    body: CiPolicyBody,
    image: ImageFacts,
    *,
    scenario: int = ScenarioValue.KERNEL,
    test_signing: bool = False,
    options: int = 0,
) -> Answer:
    """Ask a policy about an image. ``options`` are the header's; audit mode changes nothing here.

    ``test_signing`` adds the groups for test signatures. The answer is about what the rules say, not about whether the
    policy is enforced.
    """
    return Evaluator(body, scenario, test_signing=test_signing, options=options).ask(image)


class Evaluator:
    """A policy made ready for many questions about one kind of code."""

    def __init__(
        self,
        body: CiPolicyBody,
        scenario: int = ScenarioValue.KERNEL,
        *,
        test_signing: bool = False,
        options: int = 0,
    ) -> None:
        groups = tuple(_groups(body, scenario, test_signing))
        self._body = body
        self._is_covered = bool(groups)
        self._drivers = scenario == ScenarioValue.KERNEL
        self._options = options
        self._denials = _Side.of(body, groups, FileRuleKind.DENY)
        self._grants = _Side.of(body, groups, FileRuleKind.ALLOW)

    def ask(self, image: ImageFacts) -> Answer:
        """What the policy says of an image."""
        if not self._is_covered:
            return Undecided(f"it has no rules for {'drivers' if self._drivers else 'programs'}")
        question = _Question(self._body, image, drivers=self._drivers)
        denied, by = question.best(self._denials)
        if denied is _Match.YES:
            return Refused(f"it is denied by its rule: {by()}")
        allowed, by_rule = question.best(self._grants)
        if allowed is _Match.NO:
            return Refused("no rule allows it")
        if denied is _Match.UNKNOWN:
            return Undecided(f"a rule may deny it: {by()}")
        if allowed is _Match.UNKNOWN:
            return Undecided(f"only a rule that cannot be checked may allow it: {by_rule()}")
        if self._drivers and self._options & _EVIDENCE:
            return Undecided("it asks for WHQL or extended-validation signatures, which cannot be checked")
        return Allowed(by_rule())


@dataclass(frozen=True)
class _Side:
    """All that denies, or all that allows. ``hashes`` are rules about nothing but a hash, by that hash."""

    hashes: Mapping[bytes, FileRule]
    sizes: frozenset[int]
    rules: tuple[FileRule, ...]
    patched: tuple[FileRule, ...]
    uses: tuple[SignerUse, ...]

    @classmethod
    def of(cls, body: CiPolicyBody, groups: Iterable[SignerGroup], kind: FileRuleKind) -> Self:
        base = {item.base for item in body.hotpatches}
        hashes: dict[bytes, FileRule] = {}
        rules: list[FileRule] = []
        patched: list[FileRule] = []
        uses: list[SignerUse] = []
        for group in groups:
            uses += group.denied if kind is FileRuleKind.DENY else group.allowed
            for number in group.rules:
                rule = body.file_rules[number]
                if rule.kind is not kind:
                    continue
                if number in base:
                    patched.append(rule)
                elif rule.hash:
                    hashes.setdefault(rule.hash, rule)
                else:
                    rules.append(rule)
        return cls(hashes, frozenset(map(len, hashes)), tuple(rules), tuple(patched), tuple(uses))


_Found = tuple[_Match, Callable[[], str]]


class _Question:
    """One image, asked about."""

    def __init__(self, body: CiPolicyBody, image: ImageFacts, *, drivers: bool) -> None:
        self._body = body
        self._image = image
        self._drivers = drivers

    def best(self, side: _Side) -> _Found:
        """The best match and what matched, in words when asked."""
        best: _Found = (_Match.NO, str)
        for found in self._matches(side):
            if found[0] > best[0]:
                best = found
                if best[0] is _Match.YES:
                    break
        return best

    def _matches(self, side: _Side) -> Iterator[_Found]:
        yield self._hashes(side)
        for rule in side.rules:
            yield self._rule(rule), partial(rule_in_words, rule)
        for rule in side.patched:
            # Whether the hotpatch that it needs is in place is not known here.
            yield min(self._rule(rule), _Match.UNKNOWN), partial(rule_in_words, rule)
        for use in side.uses:
            signer = self._body.signers[use.signer]
            match = self._signer(signer)
            if match is not _Match.NO and use.exceptions:
                excepted = max(self._rule(self._body.file_rules[number]) for number in use.exceptions)
                match = min(match, _Match(_Match.YES - excepted))
            yield match, partial(signer_in_words, self._body, signer)

    def _hashes(self, side: _Side) -> _Found:
        known = self._image.hashes.values()
        for value in known:
            if value in side.hashes:
                return _Match.YES, partial(rule_in_words, side.hashes[value])
        if side.sizes <= set(map(len, known)):
            return _Match.NO, str
        return _Match.UNKNOWN, lambda: "one about a hash of another algorithm"

    # One rule

    def _rule(self, rule: FileRule) -> _Match:
        if rule.hash:
            return self._hash(rule.hash)
        conditions = list(self._conditions(rule))
        return min(conditions) if conditions else _Match.NO

    def _hash(self, wanted: bytes) -> _Match:
        known = self._image.hashes
        if wanted in known.values():
            return _Match.YES
        comparable = any(len(value) == len(wanted) for value in known.values())
        return _Match.NO if comparable else _Match.UNKNOWN

    def _conditions(self, rule: FileRule) -> Iterator[_Match]:
        image = self._image
        for wanted, found in (
            (rule.file_name, image.original_name),
            (rule.internal_name, image.internal_name),
            (rule.description, image.description),
            (rule.product, image.product),
        ):
            if wanted == "*":
                yield _Match.YES
            elif wanted:
                yield _Match.of(None if found is None else found.casefold() == wanted.casefold())
        if rule.path or rule.package_family or rule.app_ids:
            yield _Match.NO if self._drivers else _Match.UNKNOWN
        bounds = version_bounds(rule)
        if bounds != (NO_VERSION, MAX_VERSION):
            yield _Match.of(None if image.version is None else bounds[0] <= image.version <= bounds[1])

    # One signer

    def _signer(self, signer: Signer) -> _Match:
        found = _Match.UNKNOWN
        if self._image.signatures is not None:
            found = max((self._signature(signer, item) for item in self._image.signatures), default=_Match.NO)
        return found if found is _Match.NO else min(found, self._attributes(signer))

    def _attributes(self, signer: Signer) -> _Match:
        rules = [self._rule(self._body.file_rules[number]) for number in signer.attributes]
        return max(rules, default=_Match.YES)

    def _signature(self, signer: Signer, found: SignatureFacts) -> _Match:
        return min(
            _root(signer, found),
            _same(signer.publisher, found.publisher),
            _same(signer.issuer, found.issuer),
            _same(signer.oem_id, found.oem_id),
            self._ekus(signer, found.ekus),
            _Match.UNKNOWN if signer.sign_time_after else _Match.YES,
        )

    def _ekus(self, signer: Signer, found: frozenset[str] | None) -> _Match:
        if not signer.ekus and not signer.except_ekus:
            return _Match.YES
        if found is None:
            return _Match.UNKNOWN
        wanted = {eku_text(self._body.ekus[number]) for number in signer.ekus}
        barred = {eku_text(self._body.ekus[number]) for number in signer.except_ekus}
        return _Match.of(wanted <= found and not barred & found)


def _root(signer: Signer, found: SignatureFacts) -> _Match:
    if signer.well_known is not None:
        return _Match.of(None if found.roots is None else signer.well_known in found.roots)
    if signer.tbs in found.tbs:
        return _Match.YES
    return _Match.NO if found.complete else _Match.UNKNOWN


def _same(wanted: str, found: str | None) -> _Match:
    if not wanted:
        return _Match.YES
    return _Match.of(None if found is None else wanted.casefold() == found.casefold())


def _groups(body: CiPolicyBody, value: int, test_signing: bool) -> Iterator[SignerGroup]:
    for scenario in _with_inherited(body, value):
        yield scenario.product
        if test_signing:
            yield scenario.test
            yield scenario.test_signing


def _with_inherited(body: CiPolicyBody, value: int) -> Iterator[Scenario]:
    """The scenarios for this kind of code, and those that they inherit, each once."""
    waiting = [number for number, scenario in enumerate(body.scenarios) if scenario.value == value]
    seen: set[int] = set()
    while waiting:
        number = waiting.pop(0)
        if number not in seen:
            seen.add(number)
            yield body.scenarios[number]
            waiting += body.scenarios[number].inherited
