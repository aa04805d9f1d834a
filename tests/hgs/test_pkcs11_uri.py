"""URIs of keys in tokens: one reading, one writing, and no secret in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.pkcs11_uri import TokenUri, parse_token_uri
from portal.kernel.errors import Invalid

TEXT = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
URIS = st.builds(
    TokenUri,
    token=TEXT,
    manufacturer=st.just("") | TEXT,
    model=st.just("") | TEXT,
    serial=st.just("") | TEXT,
    object=TEXT,
    id=st.binary(max_size=16),
)


def test_a_token_and_a_key_are_named() -> None:
    assert parse_token_uri("pkcs11:token=hgs;object=guardian%202026;type=private;id=%01%ff") == TokenUri(
        token="hgs", object="guardian 2026", id=b"\x01\xff"
    )


def test_the_token_alone_is_what_a_session_is_for() -> None:
    assert TokenUri(token="hgs", serial="1", object="a").of_token == TokenUri(token="hgs", serial="1")


@given(URIS)
def test_what_is_written_is_read(uri: TokenUri) -> None:
    if len(str(uri)) <= 500:
        assert parse_token_uri(str(uri)) == uri


@given(st.text(max_size=80) | st.text(max_size=80).map("pkcs11:token=a;object=b;".__add__))
def test_any_other_text_is_refused_or_has_one_way_to_be_written(text: str) -> None:
    try:
        found = parse_token_uri(text)
    except Invalid:
        return
    assert parse_token_uri(str(found)) == found


REFUSED = {
    "": "does not begin",
    "pkcs12:token=a;object=b": "does not begin",
    "PKCS11:token=a;object=b": "does not begin",
    "pkcs11:" + "token=" + "a" * 600: "longer than 500",
    "pkcs11:token=a;object=b?pin-value=1234": "no place in it",
    "pkcs11:token=a;object=b?module-path=/tmp/evil.so": "no place in it",
    "pkcs11:token=a;object=b;pin-value=1234": "does not know",
    "pkcs11:token=a;object=b;slot-id=1": "does not know",
    "pkcs11:object=b": "names no token",
    "pkcs11:token=a": "names no key",
    "pkcs11:token=a;object=b;object=c": "comes twice",
    "pkcs11:token=a;object": "not written",
    "pkcs11:token=a;object=": "is empty",
    "pkcs11:token=a;object=%0a": "cannot be printed",
    "pkcs11:token=a;object=%ff": "not UTF-8",
    "pkcs11:token=a;object=a b": "not written",
    "pkcs11:token=a;object=%2": "not written",
    "pkcs11:token=a;object=b;type=cert": "other than a private key",
    "pkcs11:token=a;id=" + "%01" * 65: "at most 64",
    "pkcs11:token=" + "a" * 101 + ";object=b": "longer than 100",
    "pkcs11:token=a;;object=b": "does not know",
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.items())
def test_it_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_token_uri(text)
    assert reason in refused.value.message


def test_a_refusal_does_not_repeat_a_pin() -> None:
    with pytest.raises(Invalid) as refused:
        parse_token_uri("pkcs11:token=a;object=b?pin-value=secret1234")
    assert "secret1234" not in refused.value.message + refused.value.advice
