"""Security identifiers have one spelling, and only groups that somebody made stand for guarded hosts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.errors import Malformed, Unsupported
from hgs.attestation.sid import Sid, built_in_name, read_host_group

SIDS = st.builds(
    Sid, st.integers(0, 2**48 - 1), st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=15).map(tuple)
)


@given(SIDS)
def test_what_is_written_is_read_back(sid: Sid) -> None:
    assert Sid.parse(str(sid)) == sid


@given(st.text(max_size=60))
def test_what_is_read_is_written_the_same(text: str) -> None:
    try:
        sid = Sid.parse(text)
    except Malformed:
        return
    assert str(sid) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "S-1-5", "s-1-5-21-1", "S-2-5-21-1", "S-1-05-21", "S-1-5-021", "S-1-5-21-1-2-3-1104\n", " S-1-5-21-1",
        "S-1-5-4294967296", f"S-1-{2**48}-1", "S-1-5" + "-1" * 16, "S-1-5-21--1", "S-1-5-0x15", "S-1-5-٢١",
    ],
)  # fmt: skip
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        Sid.parse(text)


def test_a_group_of_a_domain_is_taken() -> None:
    assert str(read_host_group("S-1-5-21-1-2-3-1104")) == "S-1-5-21-1-2-3-1104"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("S-1-1-0", "Everyone"),
        ("S-1-5-11", "Authenticated Users"),
        ("S-1-5-21-1-2-3-513", "Domain Users"),
        ("S-1-5-21-1-2-3-515", "Domain Computers"),
        ("S-1-5-21-1-2-3-512", "Domain Admins"),
        ("S-1-5-21-1-2-3-999", "which Windows fills"),
        ("S-1-5-32-544", "not a group of a domain"),
        ("S-1-5-21-1-2-3", "not a group of a domain"),
        ("S-1-5-21-1-2-3-4-1104", "not a group of a domain"),
        ("S-1-5-20-1-2-3-1104", "not a group of a domain"),
        ("S-1-16-12288", "not a group of a domain"),
    ],
)
def test_groups_that_nobody_chose_are_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        read_host_group(text)


def test_well_known_groups_have_names_and_others_none() -> None:
    assert built_in_name(Sid.parse("S-1-5-21-9-9-9-515")) == "Domain Computers"
    assert built_in_name(Sid.parse("S-1-1-0")) == "Everyone"
    assert built_in_name(Sid.parse("S-1-5-21-9-9-9-1515")) == ""
    assert built_in_name(Sid.parse("S-1-5-515")) == ""
