from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.shielding.errors import QualifierError
from fabric.shielding.viq import Accepted, Refused, VersionRule, VolumeIdQualifier, decide, parse_version

SIGNER = b"s" * 32


@dataclass(frozen=True)
class Disk:
    disk_name: str = "Debian 12"
    version: str = "1.2.3.4"
    signer_fingerprint: bytes = SIGNER


def qualifier(rule: VersionRule = VersionRule.EQUALS, version: str = "1.2.3.4") -> VolumeIdQualifier:
    return VolumeIdQualifier("Debian 12", SIGNER, version, rule)


@pytest.mark.parametrize(
    ("rule", "older", "same", "newer"),
    [
        (VersionRule.EQUALS, False, True, False),
        (VersionRule.GREATER_THAN, False, False, True),
        (VersionRule.GREATER_THAN_OR_EQUALS, False, True, True),
    ],
)
def test_the_version_rule_decides(rule: VersionRule, older: bool, same: bool, newer: bool) -> None:
    found = [isinstance(qualifier(rule).accepts(Disk(version=v)), Accepted) for v in ("1.2.3.3", "1.2.3.4", "1.2.10.0")]
    assert found == [older, same, newer]


def test_versions_compare_as_numbers() -> None:
    assert isinstance(qualifier(VersionRule.GREATER_THAN, "1.9.0.0").accepts(Disk(version="1.10.0.0")), Accepted)


@pytest.mark.parametrize(
    ("disk", "code"),
    [
        (Disk(disk_name="debian 12"), "disk-name"),
        (Disk(signer_fingerprint=b"t" * 32), "signer"),
        (Disk(version="1.2.3.5"), "version"),
        (Disk(disk_name="Other", signer_fingerprint=b"t" * 32), "disk-name"),
    ],
)
def test_the_first_difference_is_the_reason(disk: Disk, code: str) -> None:
    decision = qualifier().accepts(disk)
    assert isinstance(decision, Refused)
    assert decision.code == code
    assert decision.reason.endswith(".")


def test_one_accepting_qualifier_is_enough() -> None:
    other = VolumeIdQualifier("Other", SIGNER, "1.0.0.0", VersionRule.EQUALS)
    assert decide([other, qualifier()], Disk()) == Accepted(qualifier())


def test_the_refusal_that_came_closest_is_told() -> None:
    other = VolumeIdQualifier("Other", SIGNER, "1.0.0.0", VersionRule.EQUALS)
    decision = decide([qualifier(version="9.0.0.0"), other], Disk())
    assert isinstance(decision, Refused)
    assert decision.code == "version"


def test_no_qualifiers_accept_nothing() -> None:
    decision = decide([], Disk())
    assert isinstance(decision, Refused)
    assert decision.code == "no-qualifiers"


@pytest.mark.parametrize(
    "text", ["", "1", "1.2.3", "1.2.3.4.5", "1.2.3.65536", "01.2.3.4", "1.2.3.-4", "1.2.3.4\n", "a.b.c.d"]
)
def test_malformed_versions_are_refused(text: str) -> None:
    with pytest.raises(QualifierError):
        parse_version(text)


@given(st.tuples(*[st.integers(0, 65535)] * 4))
def test_every_version_reads_back(parts: tuple[int, int, int, int]) -> None:
    assert parse_version(".".join(map(str, parts))) == parts


@pytest.mark.parametrize(
    ("name", "signer", "version"),
    [("", SIGNER, "1.0.0.0"), ("x" * 65, SIGNER, "1.0.0.0"), ("a\nb", SIGNER, "1.0.0.0"), ("a", b"s", "1.0.0.0")],
)
def test_malformed_qualifiers_cannot_be_made(name: str, signer: bytes, version: str) -> None:
    with pytest.raises(QualifierError):
        VolumeIdQualifier(name, signer, version, VersionRule.EQUALS)
