import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.shielding.errors import SpecializationKeysError
from fabric.shielding.specialization import parse_specialization_keys, serialise_specialization_keys

VALUES = {"@TimeZone@": "Europe/Berlin", "@ComputerName@": "web01"}
names = st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True)


@given(names, st.integers(1, 254))
def test_every_set_of_values_reads_back(name: str, host: int) -> None:
    values = {"@ComputerName@": name, "@NextHop-1-1@": f"10.0.0.{host}"}
    document = serialise_specialization_keys(values)
    assert parse_specialization_keys(document) == values
    assert serialise_specialization_keys(parse_specialization_keys(document)) == document


def test_keys_are_sorted_and_values_checked() -> None:
    assert serialise_specialization_keys(VALUES) == (
        b'<SpecializationKeys xmlns="urn:open-guarded-fabric:specialization-keys:1" Version="1">'
        b'<Key Name="@ComputerName@">web01</Key><Key Name="@TimeZone@">Europe/Berlin</Key></SpecializationKeys>'
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"web01", b""),
        (b"web01", b"web 01"),
        (b"web01", b'web"01'),
        (b"@ComputerName@", b"@Unknown@"),
        (b"@ComputerName@", b"@TimeZone@"),
        (b"@ComputerName@", b"@ZComputerName@"),
        (b' Version="1"', b' Version="2"'),
        (b"</SpecializationKeys>", b"<More></More></SpecializationKeys>"),
        (b"<Key Name", b"<Key Other"),
    ],
)
def test_other_documents_are_refused(old: bytes, new: bytes) -> None:
    document = serialise_specialization_keys(VALUES)
    assert old in document
    with pytest.raises(SpecializationKeysError):
        parse_specialization_keys(document.replace(old, new, 1))


def test_a_bad_value_is_refused_when_writing() -> None:
    with pytest.raises(SpecializationKeysError):
        serialise_specialization_keys({"@ComputerName@": "a\nb"})


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SpecializationKeysError):
        parse_specialization_keys(data)
