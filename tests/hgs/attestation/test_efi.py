"""Measured UEFI variables and signature databases."""

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.efi import CERT_SHA256, CERT_X509, EfiVariable, parse_signature_database, signature_list
from hgs.attestation.errors import Malformed

OWNER = UUID(int=7)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(st.uuids(), TEXT, st.binary(max_size=80))
def test_every_variable_survives(guid: UUID, name: str, data: bytes) -> None:
    variable = EfiVariable(guid, name, data)
    assert EfiVariable.parse(variable.serialise()) == variable


@given(st.binary(max_size=120))
def test_any_bytes_are_a_variable_or_malformed(data: bytes) -> None:
    with suppress(Malformed):
        assert EfiVariable.parse(data).serialise() == data
    with suppress(Malformed):
        parse_signature_database(data)


def test_a_database_lists_its_entries_without_owners() -> None:
    one, two = b"\x01" * 32, b"\x02" * 32
    data = signature_list(CERT_SHA256, OWNER, [two, one]) + signature_list(CERT_X509, OWNER, [b"cert"])
    other = signature_list(CERT_X509, UUID(int=9), [b"cert"]) + signature_list(CERT_SHA256, OWNER, [one, two])
    entries = parse_signature_database(data)
    assert entries == parse_signature_database(other)
    assert entries[0] == f"sha256:{'01' * 32}"
    assert entries[2].startswith("x509:")
    assert parse_signature_database(b"") == ()


@given(st.integers(1, 60))
def test_a_database_cut_short_is_malformed(size: int) -> None:
    with pytest.raises(Malformed):
        parse_signature_database(signature_list(CERT_SHA256, OWNER, [bytes(32)])[:-size])
