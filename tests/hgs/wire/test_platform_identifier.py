"""The file by which a host is registered."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.wire.errors import PlatformIdentifierError
from hgs.wire.platform_identifier import PlatformIdentifier, parse_identifier, serialise_identifier

NAMES = st.from_regex(r"\A[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?\Z")


@given(NAMES, st.binary(min_size=1, max_size=300), st.none() | st.binary(min_size=1, max_size=900))
def test_every_identifier_survives(name: str, key: bytes, certificate: bytes | None) -> None:
    identifier = PlatformIdentifier(name, key, certificate)
    data = serialise_identifier(identifier)
    assert parse_identifier(data) == identifier
    assert serialise_identifier(parse_identifier(data)) == data


@given(st.binary(max_size=300))
def test_any_bytes_are_an_identifier_or_an_error(data: bytes) -> None:
    with suppress(PlatformIdentifierError):
        parse_identifier(data)


GOOD = serialise_identifier(PlatformIdentifier("hv01", b"key", b"certificate"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"hv01", b"hv 01"),
        (b"hv01", b""),
        (b"hv01", b"hv01\xc3\xa9"),
        (b"Name=", b"Nom="),
        (b"Name=", b"Extra='1' Name="),
        (b"platform-identifier:1", b"platform-identifier:2"),
        (b"\n  <", b"\n\t<"),
        (b"a2V5", b"a2V5!"),
        (b"a2V5", b""),
        (b"<EndorsementKey>", b"<EndorsementKey a='1'>"),
        (b"EndorsementKeyCertificate", b"Certificate"),
        (b"</PlatformIdentifier>", b"<!-- note --></PlatformIdentifier>"),
        (b"</PlatformIdentifier>", b"<EndorsementKey>a2V5</EndorsementKey></PlatformIdentifier>"),
        (b"<PlatformIdentifier", b"<!DOCTYPE a [<!ENTITY e 'x'>]><PlatformIdentifier"),
        (b"<?xml", b"\xef\xbb\xbf<?xml"),
    ],
)
def test_anything_but_the_canonical_file_is_refused(old: bytes, new: bytes) -> None:
    assert old in GOOD
    with pytest.raises(PlatformIdentifierError):
        parse_identifier(GOOD.replace(old, new))


def test_sizes_are_limited() -> None:
    for identifier in (
        PlatformIdentifier("hv01", b""),
        PlatformIdentifier("hv01", bytes(2000)),
        PlatformIdentifier("hv01", b"k", bytes(9000)),
    ):
        with pytest.raises(PlatformIdentifierError):
            serialise_identifier(identifier)
    with pytest.raises(PlatformIdentifierError, match="limit"):
        parse_identifier(bytes(40000))
