"""The header of the Negotiate scheme has one spelling of a token, and a limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.wire.errors import NegotiateError
from hgs.wire.negotiate import MAX_TOKEN, binding_of, read_header, write_header


@given(st.binary(max_size=200))
def test_what_is_written_is_read_back(token: bytes) -> None:
    assert read_header(write_header(token)) == token


@given(st.text(max_size=80))
def test_what_is_read_is_a_token_in_its_one_spelling(value: str) -> None:
    try:
        token = read_header(value)
    except NegotiateError:
        return
    if token:
        assert write_header(token).partition(" ")[2] == value.partition(" ")[2].strip(" ")


@pytest.mark.parametrize("token", ["YQ", "YR==", "a b", "YWJj\n", "é"])
def test_other_spellings_are_refused(token: str) -> None:
    with pytest.raises(NegotiateError):
        read_header(f"Negotiate {token}")


@pytest.mark.parametrize("value", ["", "Negotiate", "Negotiate ", "Basic YWJj", "Bearer abc"])
def test_other_schemes_carry_no_token(value: str) -> None:
    assert read_header(value) == b""


def test_a_token_has_a_limit() -> None:
    assert len(read_header(write_header(bytes(MAX_TOKEN)))) == MAX_TOKEN
    with pytest.raises(NegotiateError, match="more than"):
        read_header(write_header(bytes(MAX_TOKEN + 3)))


def test_each_request_has_a_binding_of_its_own() -> None:
    assert binding_of(b"a") != binding_of(b"b")
    assert binding_of(b"a").startswith(b"hgs-request-sha256:")
