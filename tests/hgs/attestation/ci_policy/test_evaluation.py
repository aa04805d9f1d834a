"""What a policy says of an image: allowed, refused, or not to be told from what is known."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.ci_policy import (
    Allowed,
    Answer,
    CiPolicyBody,
    FileRule,
    FileRuleKind,
    ImageFacts,
    PolicyDocument,
    PolicyOption,
    PolicyRules,
    Refused,
    Scenario,
    ScenarioValue,
    SignatureFacts,
    Signer,
    SignerGroup,
    SignerUse,
    Undecided,
    evaluate,
)
from hgs.attestation.ci_policy.model import Hotpatch
from hgs.attestation.modules import LoadedModule
from tests.hgs.attestation.ci_policy.policies import EKU, FOO_HASH, TBS, document, documents, drivers

WHQL = "1.3.6.1.4.1.311.10.3.6"
SIGNED = SignatureFacts("Foo Inc.", "Foo CA", frozenset({WHQL}), frozenset({TBS}), True, frozenset({6}), "Foo")
FOO = ImageFacts("foo.sys", {"sha1": b"\x01" * 20, "sha256": FOO_HASH}, "Foo.sys", "", "", "", (2, 0, 0, 0), (SIGNED,))
DENY, ALLOW, ATTRIBUTE = FileRuleKind.DENY, FileRuleKind.ALLOW, FileRuleKind.ATTRIBUTE
EVERYTHING = FileRule(ALLOW, "*")


def with_rules(*rules: FileRule) -> CiPolicyBody:
    return drivers(SignerGroup(rules=tuple(range(len(rules)))), file_rules=rules)


def with_signer(signer: Signer, *rules: FileRule, use: SignerUse | None = None) -> CiPolicyBody:
    group = SignerGroup(allowed=(use or SignerUse(0),))
    return drivers(group, file_rules=rules, signers=(signer,), ekus=(EKU,))


def kind(answer: Answer) -> str:
    return type(answer).__name__.lower()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (FileRule(ALLOW, hash=FOO_HASH), "allowed"),
        (FileRule(ALLOW, hash=b"\x02" * 32), "refused"),
        (FileRule(ALLOW, hash=b"\x01" * 20), "allowed"),
        (FileRule(ALLOW, hash=b"\x01" * 48), "undecided"),
        (EVERYTHING, "allowed"),
        (FileRule(ALLOW, "FOO.SYS"), "allowed"),
        (FileRule(ALLOW, "bar.sys"), "refused"),
        (FileRule(ALLOW, "foo.sys", (2, 0, 0, 0)), "allowed"),
        (FileRule(ALLOW, "foo.sys", (2, 0, 0, 1)), "refused"),
        (FileRule(ALLOW, "foo.sys", maximum_version=(1, 9, 9, 9)), "refused"),
        (FileRule(ALLOW, product="Product"), "refused"),
        (FileRule(ALLOW, path="%OSDRIVE%\\*"), "refused"),
        (FileRule(ALLOW), "refused"),
        (FileRule(ATTRIBUTE, "*"), "refused"),
    ],
)
def test_a_file_rule_allows_what_fits_it(rule: FileRule, expected: str) -> None:
    assert kind(evaluate(with_rules(rule), FOO)) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (FileRule(DENY, "foo.sys", (65535,) * 4), "refused"),
        (FileRule(DENY, "foo.sys", (2, 0, 0, 0)), "refused"),
        (FileRule(DENY, "foo.sys", (1, 9, 9, 9)), "allowed"),
        (FileRule(DENY, "foo.sys", (1, 0, 0, 0), maximum_version=(1, 9, 0, 0)), "allowed"),
        (FileRule(DENY, "foo.sys", (1, 0, 0, 0), maximum_version=(2, 9, 0, 0)), "refused"),
        (FileRule(DENY, "foo.sys", (65535,) * 4, maximum_version=(2, 9, 0, 0)), "refused"),
        (FileRule(DENY, hash=FOO_HASH), "refused"),
        (FileRule(DENY, hash=b"\x01" * 64), "undecided"),
    ],
)
def test_a_deny_rule_beats_every_allowance(rule: FileRule, expected: str) -> None:
    """A deny rule's one version is the last that it stops."""
    assert kind(evaluate(with_rules(rule, EVERYTHING), FOO)) == expected


@pytest.mark.parametrize(
    ("signer", "expected"),
    [
        (Signer(TBS), "allowed"),
        (Signer(b"\x09" * 32), "refused"),
        (Signer(well_known=6), "allowed"),
        (Signer(well_known=7), "refused"),
        (Signer(TBS, publisher="FOO INC."), "allowed"),
        (Signer(TBS, publisher="Bar Inc."), "refused"),
        (Signer(TBS, issuer="Foo CA", oem_id="Foo"), "allowed"),
        (Signer(TBS, oem_id="Bar"), "refused"),
        (Signer(TBS, ekus=(0,)), "allowed"),
        (Signer(TBS, except_ekus=(0,)), "refused"),
        (Signer(TBS, sign_time_after=1), "undecided"),
        (Signer(TBS, attributes=(0,)), "allowed"),
        (Signer(TBS, attributes=(1,)), "refused"),
        (Signer(TBS, attributes=(1, 0)), "allowed"),
    ],
)
def test_a_signer_allows_what_it_signed(signer: Signer, expected: str) -> None:
    attributes = (FileRule(ATTRIBUTE, "foo.sys", (1, 0, 0, 0)), FileRule(ATTRIBUTE, "foo.sys", (3, 0, 0, 0)))
    assert kind(evaluate(with_signer(signer, *attributes), FOO)) == expected


def test_what_is_not_known_decides_nothing() -> None:
    from_log = replace(FOO, original_name=None, version=None, signatures=(SignatureFacts("Foo Inc.", "Foo CA"),))
    assert evaluate(with_signer(Signer(TBS, publisher="Foo Inc.")), from_log) == Undecided(
        f"only a rule that cannot be checked may allow it: certificate (TBS {TBS.hex()}), publisher Foo Inc."
    )
    assert kind(evaluate(with_signer(Signer(TBS, publisher="Bar Inc.")), from_log)) == "refused"
    assert kind(evaluate(with_signer(Signer(TBS)), replace(FOO, signatures=None))) == "undecided"
    assert kind(evaluate(with_rules(FileRule(ALLOW, "foo.sys")), from_log)) == "undecided"
    assert kind(evaluate(with_rules(FileRule(DENY, "bad.sys", (1, 0, 0, 0)), EVERYTHING), from_log)) == "undecided"


def test_an_unsigned_image_is_nobodys() -> None:
    answer = evaluate(with_signer(Signer(well_known=6)), replace(FOO, signatures=()))
    assert answer == Refused("no rule allows it")


def test_one_of_several_signatures_is_enough() -> None:
    other = replace(SIGNED, tbs=frozenset({b"\x07" * 32}), publisher="Other")
    assert kind(evaluate(with_signer(Signer(TBS)), replace(FOO, signatures=(other, SIGNED)))) == "allowed"


def test_an_exception_takes_an_allowance_back() -> None:
    bad = FileRule(DENY, "foo.sys", (65535,) * 4)
    excepted = with_signer(Signer(TBS), bad, use=SignerUse(0, (0,)))
    assert kind(evaluate(excepted, FOO)) == "refused"
    assert kind(evaluate(excepted, replace(FOO, original_name="other.sys"))) == "allowed"
    assert kind(evaluate(excepted, replace(FOO, original_name=None))) == "undecided"


def test_a_denied_signer_is_refused_unless_excepted() -> None:
    rules = (EVERYTHING, FileRule(ALLOW, hash=FOO_HASH))
    group = SignerGroup(denied=(SignerUse(0, (1,)),), rules=(0,))
    body = drivers(group, file_rules=rules, signers=(Signer(TBS),))
    assert kind(evaluate(body, FOO)) == "allowed"
    assert kind(evaluate(body, replace(FOO, hashes={"sha256": b"\x03" * 32}))) == "refused"


def test_scenarios_are_kept_apart_and_inherited() -> None:
    programs = Scenario(ScenarioValue.USER_MODE, product=SignerGroup(rules=(0,)))
    body = CiPolicyBody(file_rules=(EVERYTHING,), scenarios=(programs, Scenario(ScenarioValue.KERNEL)))
    assert kind(evaluate(body, FOO)) == "refused"
    assert kind(evaluate(body, FOO, scenario=ScenarioValue.USER_MODE)) == "allowed"
    inherits = replace(body, scenarios=(programs, Scenario(ScenarioValue.KERNEL, (0, 1))))
    assert kind(evaluate(inherits, FOO)) == "allowed"
    assert evaluate(replace(body, scenarios=(programs,)), FOO) == Undecided("it has no rules for drivers")


def test_groups_for_test_signatures_count_when_these_are_trusted() -> None:
    body = CiPolicyBody(
        file_rules=(EVERYTHING,), scenarios=(Scenario(ScenarioValue.KERNEL, test=SignerGroup(rules=(0,))),)
    )
    assert kind(evaluate(body, FOO)) == "refused"
    assert kind(evaluate(body, FOO, test_signing=True)) == "allowed"


def test_path_rules_may_allow_programs_only() -> None:
    body = CiPolicyBody(
        file_rules=(FileRule(ALLOW, path="C:\\*"),),
        scenarios=(Scenario(ScenarioValue.USER_MODE, product=SignerGroup(rules=(0,))),),
    )
    assert kind(evaluate(body, FOO, scenario=ScenarioValue.USER_MODE)) == "undecided"


def test_what_a_policy_asks_for_beyond_its_rules_is_not_taken_for_granted() -> None:
    assert kind(evaluate(with_rules(EVERYTHING), FOO, options=int(PolicyOption.WHQL))) == "undecided"
    patched = replace(with_rules(EVERYTHING), hotpatches=(Hotpatch(0, 0, 0, 1),))
    assert kind(evaluate(patched, FOO)) == "undecided"


def test_an_answer_says_what_decided_it() -> None:
    assert evaluate(with_rules(FileRule(ALLOW, hash=FOO_HASH, label="foo.sys")), FOO) == Allowed(
        f"allow hash {FOO_HASH.hex()} (foo.sys)"
    )
    assert evaluate(with_rules(FileRule(DENY, "foo.sys", (2, 0, 0, 0))), FOO) == Refused(
        "it is denied by its rule: deny files named foo.sys, version 2.0.0.0 or earlier"
    )


@given(documents(), st.booleans())
def test_any_policy_answers_about_any_image(policy: PolicyDocument, test_signing: bool) -> None:
    for image in (FOO, ImageFacts("x"), replace(FOO, signatures=())):
        for scenario in ScenarioValue:
            answer = evaluate(policy.body, image, scenario=scenario, test_signing=test_signing, options=policy.options)
            assert isinstance(answer, Answer)


LESS = (
    replace(FOO, hashes={}),
    replace(FOO, original_name=None),
    replace(FOO, version=None),
    replace(FOO, signatures=None),
)


@given(documents(), st.sampled_from(LESS))
def test_knowing_less_never_turns_a_refusal_into_an_allowance(policy: PolicyDocument, less: ImageFacts) -> None:
    known, unsure = evaluate(policy.body, FOO), evaluate(policy.body, less)
    assert isinstance(unsure, Undecided) or kind(unsure) == kind(known)


def test_a_registered_policy_complains_of_a_logged_driver_only_when_sure() -> None:
    body = with_signer(Signer(TBS, publisher="Foo Inc."))
    rules = PolicyRules(document(body))
    logged = LoadedModule("\\Windows\\peek.sys", "ab" * 32, "sha256", publisher="Peek Software", issuer="Peek CA")
    assert rules.refuses(logged) == "no rule allows it"
    assert rules.refuses(logged) == "no rule allows it"
    assert rules.refuses(replace(logged, publisher="Foo Inc.")) is None
    assert rules.refuses(LoadedModule("\\Windows\\a.sys")) is None
    assert PolicyRules(document(CiPolicyBody())).refuses(logged) is None
