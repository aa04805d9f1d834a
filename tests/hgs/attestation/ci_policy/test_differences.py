"""What an administrator is told about a new policy."""

from dataclasses import replace

from hypothesis import given

from hgs.attestation.ci_policy import (
    CiPolicy,
    CiPolicyBody,
    FileRule,
    FileRuleKind,
    PolicyDocument,
    PolicyOption,
    Signer,
    SignerGroup,
    SignerUse,
    build_ci_policy,
    compare_documents,
    compare_policies,
    nearest,
    parse_ci_policy,
)
from tests.hgs.attestation.ci_policy.policies import FOO_HASH, OPTIONS, TBS, document, documents, drivers, everything

ALLOW = FileRule(FileRuleKind.ALLOW, hash=FOO_HASH, label="foo.sys")
DENY = FileRule(FileRuleKind.DENY, "bad.sys", (1, 0, 0, 0))
OLD = document(drivers(SignerGroup()))


def file(policy: PolicyDocument) -> CiPolicy:
    return parse_ci_policy(policy.serialise())


def told(old: PolicyDocument, new: PolicyDocument) -> list[tuple[str, bool]]:
    return [(item.sentence, item.weakens) for item in compare_documents(old, new)]


def test_a_rule_that_is_added_or_removed_is_named() -> None:
    new = document(drivers(SignerGroup(rules=(0, 1)), file_rules=(DENY, ALLOW)))
    allow = f"Rule for drivers {{}}: allow hash {FOO_HASH.hex()} (foo.sys)"
    deny = "Rule for drivers {}: deny files named bad.sys, version 1.0.0.0 or earlier"
    assert told(OLD, new) == [(allow.format("added"), True), (deny.format("added"), False)]
    assert told(new, OLD) == [(allow.format("removed"), False), (deny.format("removed"), True)]
    assert compare_policies(file(OLD), file(new))[0].sentence == allow.format("added").removesuffix(" (foo.sys)")


def test_audit_mode_and_options_are_told_with_what_they_do() -> None:
    audited = replace(OLD, options=int(OPTIONS | PolicyOption.AUDIT_MODE))
    assert told(audited, OLD) == [("Audit mode switched off: what is not allowed is refused", False)]
    assert told(OLD, audited) == [("Audit mode switched on: nothing is refused any more", True)]
    unchecked = replace(OLD, options=int(OPTIONS & ~int(PolicyOption.USER_MODE)))
    assert told(OLD, unchecked) == [("Option switched off: programs are checked too, not drivers alone", True)]
    assert told(OLD, replace(OLD, options=OPTIONS | 1)) == [("Unknown options 0x00000001 changed", True)]


def test_a_signer_is_told_with_its_exceptions() -> None:
    signers = (Signer(TBS, publisher="Foo Inc.", label="Foo CA"),)
    allowed = SignerGroup((SignerUse(0, (0,)),))
    new = document(drivers(allowed, signers=signers, file_rules=(DENY,)))
    assert told(OLD, new) == [
        (
            f"Signer for drivers added: allow certificate (TBS {TBS.hex()}), publisher Foo Inc., "
            "except deny files named bad.sys, version 1.0.0.0 or earlier (Foo CA)",
            True,
        )
    ]


def test_an_older_version_and_a_lost_scenario_deserve_a_second_look() -> None:
    assert told(OLD, replace(OLD, version=(9, 0, 0, 0))) == [("Version 10.0.0.0 became 9.0.0.0", True)]
    assert ("Scope removed: rules for drivers", True) in told(OLD, document(CiPolicyBody()))


def test_the_order_of_rules_and_signers_is_no_difference() -> None:
    one = document(drivers(SignerGroup(rules=(0, 1)), file_rules=(DENY, ALLOW)))
    other = document(drivers(SignerGroup(rules=(1, 0)), file_rules=(ALLOW, DENY)))
    assert told(one, other) == []
    assert file(one).digest != file(other).digest


@given(documents(), documents())
def test_a_comparison_read_backwards_has_the_same_number_of_differences(
    one: PolicyDocument, other: PolicyDocument
) -> None:
    assert compare_documents(one, one) == ()
    assert len(compare_documents(one, other)) == len(compare_documents(other, one))


def test_policies_that_cannot_be_read_are_compared_by_their_headers() -> None:
    broken = CiPolicy(file(OLD).header, file(OLD).content + b"x", signed=False)
    assert [item.sentence for item in compare_policies(file(OLD), broken)] == [
        "The rules differ in what cannot be shown"
    ]
    assert compare_policies(broken, broken) == ()


def test_the_nearest_policy_is_the_one_with_the_fewest_differences() -> None:
    new = file(replace(everything(7), version=(10, 0, 0, 1)))
    known = [("far", parse_ci_policy(build_ci_policy("x"))), ("near", file(everything(7))), ("mid", file(OLD))]
    found = nearest(new, known)
    assert found is not None
    assert found[0] == "near"
    same = nearest(file(OLD), known)
    assert same is not None
    assert same[0] == "mid"
    assert nearest(new, []) is None
