"""The binary form: whatever is read is written back byte for byte, and whatever is not sound has a reason."""

import struct
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.ci_policy import (
    CiPolicyBody,
    PolicyDocument,
    PolicyOption,
    SecureSetting,
    build_ci_policy,
    parse_ci_policy,
)
from hgs.attestation.errors import AttestationError, Unsupported
from tests.hgs.attestation.ci_policy.policies import LAST, POLICY_ID, document, documents, everything, seeds, wrapped
from tests.hgs.attestation.samples import FOLDER

FORMATS = range(1, LAST + 1)


@pytest.mark.parametrize("number", FORMATS)
def test_everything_that_a_format_has_is_read_and_written_back(number: int) -> None:
    written = everything(number).serialise()
    policy = parse_ci_policy(written)
    assert policy.unreadable == ""
    assert policy.document == everything(number)
    assert policy.document.serialise() == written


@given(documents())
def test_any_policy_comes_back_as_it_was(policy: PolicyDocument) -> None:
    content = policy.serialise()
    parsed = parse_ci_policy(content)
    assert parsed.document == policy, parsed.unreadable
    assert parsed.header == policy.header


@given(st.sampled_from(sorted(seeds())), st.data())
def test_a_changed_policy_is_read_as_it_is_or_has_a_reason(name: str, data: st.DataObject) -> None:
    """No byte is skipped over: what is read after a change is written back with the change."""
    content = bytearray(parse_ci_policy(seeds()[name]).content)
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with suppress(AttestationError):
        policy = parse_ci_policy(bytes(content))
        assert policy.content == bytes(content) or policy.signed
        if policy.document is None:
            assert policy.unreadable
        elif not policy.signed:
            assert policy.document.serialise() == bytes(content)


@pytest.mark.parametrize("number", [2, 7, LAST])
def test_a_policy_cut_short_anywhere_is_not_read(number: int) -> None:
    whole = everything(number).serialise()
    for size in range(0x44, len(whole)):
        policy = parse_ci_policy(whole[:size])
        assert policy.document is None
        assert policy.unreadable


def test_a_policy_whose_rules_cannot_be_read_still_has_its_digest() -> None:
    policy = parse_ci_policy(everything(7).serialise() + b"more")
    assert policy.body is None
    assert policy.header.file_rules == 3
    assert len(policy.digest) == 64
    assert policy.warnings[-1] == (
        "The rules of the policy cannot be shown: 4 bytes follow its end. Its digest is sound."
    )


@pytest.mark.parametrize("number", [0, LAST + 1, 0xFFFFFFFF])
def test_an_unknown_format_is_refused_by_its_number(number: int) -> None:
    content = struct.pack("<I", number) + everything(7).serialise()[4:]
    with pytest.raises(Unsupported, match=f"format {number} are not supported"):
        parse_ci_policy(content)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (0x44, 3, "file rule of the unknown kind 3"),
        (0x48, 0x7FFFFFFF, "cut short"),
        (0x4C, 1, "does not end with zero"),
        (0x58, 30, "its padding before byte 124 is not zero"),
    ],
)
def test_an_odd_value_is_named(offset: int, value: int, reason: str) -> None:
    rule = document(CiPolicyBody(file_rules=everything(1).body.file_rules[1:2]))
    content = bytearray(rule.serialise())
    struct.pack_into("<I", content, offset, value)
    policy = parse_ci_policy(bytes(content))
    assert policy.document is None
    assert reason in policy.unreadable


def test_a_count_beyond_the_file_costs_nothing() -> None:
    content = bytearray(build_ci_policy("x"))
    content += bytes(4_000_000 - len(content))
    struct.pack_into("<I", content, 0x30, 3_999_999)
    start = time.perf_counter()
    assert parse_ci_policy(bytes(content)).document is None
    assert time.perf_counter() - start < 0.5


def test_padding_and_text_ends_must_be_zero() -> None:
    content = everything(2).serialise()
    text = "Käse.sys".encode("utf-16-le")
    after = content.index(text) + len(text)
    assert parse_ci_policy(content[:after] + b"\x01" + content[after + 1 :]).document is None


def test_a_reference_that_leads_nowhere_is_named() -> None:
    body = replace(everything(7).body, update_signers=(2,))
    assert parse_ci_policy(document(body).serialise()).unreadable == "it refers to a signer that it does not have"


def test_a_format_that_cannot_hold_the_rules_is_not_written() -> None:
    with pytest.raises(Unsupported, match="of format 5 cannot hold these rules; format 7 can"):
        replace(everything(7), format_version=5).serialise()


def test_a_built_policy_has_its_name_where_windows_keeps_it() -> None:
    policy = parse_ci_policy(build_ci_policy("Hosts", policy_id="42"))
    assert policy.name == "Hosts"
    assert policy.document is not None
    assert policy.document.information_id == "42"
    assert policy.warnings == ()


def test_a_base_policy_is_an_enterprise_policy_and_a_supplemental_one_is_warned_of() -> None:
    assert parse_ci_policy(document(CiPolicyBody()).serialise()).warnings == ()
    supplement = document(CiPolicyBody(), options=int(1 << 31 | PolicyOption.SUPPLEMENTAL)).serialise()
    assert "supplemental" in parse_ci_policy(supplement).warnings[0]
    foreign = replace(document(CiPolicyBody(settings=(SecureSetting("a", "b", "c", 1),))), policy_type=POLICY_ID)
    stranger = replace(foreign, policy_type=type(POLICY_ID)(int=7)).serialise()
    assert parse_ci_policy(stranger).warnings == ("The policy is not an enterprise policy.",)


@pytest.mark.parametrize("number", FORMATS)
def test_the_wrapping_makes_no_difference(number: int) -> None:
    content = everything(number).serialise()
    for data in (wrapped(content), wrapped(core.OctetString(content).dump())):
        assert parse_ci_policy(data).document == everything(number)


def test_policies_of_microsofts_converter_are_read_whole() -> None:
    files = sorted((FOLDER / "ci-policies").glob("*.bin"))
    if not files:
        pytest.skip("there are no sample policies (../shared/samples/ci-policies)")
    for file in files:
        policy = parse_ci_policy(file.read_bytes())
        assert policy.document is not None, f"{file.name}: {policy.unreadable}"
        assert policy.document.serialise() == policy.content
