"""The key to certify is read in each form in which it may travel, and in no other."""

import base64
import json
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.errors import AttestationError, Malformed, TooLarge, Unsupported
from hgs.attestation.identity_key import MAX_IDENTITY_KEY, RSA_FORMS, read_identity_key, to_cng
from hgs.attestation.sipa_records import VsmKey

KEY = rsa.generate_private_key(65537, 2048).public_key()
NUMBERS = KEY.public_numbers()
SPKI = KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
FORMS = {
    "spki": SPKI,
    "pkcs1": KEY.public_bytes(Encoding.DER, PublicFormat.PKCS1),
    "cng": to_cng(KEY),
    "wbcl": VsmKey(NUMBERS.n, NUMBERS.e).serialise(),
}


def as_json(data: bytes, *, numbers: bool = False) -> bytes:
    return json.dumps({"Key": list(data) if numbers else base64.b64encode(data).decode()}).encode()


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_key(form: str) -> None:
    assert read_identity_key(FORMS[form]) == KEY
    assert read_identity_key(as_json(FORMS[form])) == KEY
    assert read_identity_key(as_json(FORMS[form], numbers=True)) == KEY


@pytest.mark.parametrize("form", FORMS)
def test_exactly_one_reading_fits(form: str) -> None:
    assert [read(FORMS[form]) is not None for read in RSA_FORMS].count(True) == 1


@given(st.sampled_from(sorted(FORMS)), st.data())
def test_a_changed_byte_never_gives_the_same_key(form: str, data: st.DataObject) -> None:
    changed = bytearray(FORMS[form])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = read_identity_key(bytes(changed))
    except AttestationError:
        return
    assert found != KEY


@given(st.binary(max_size=600))
def test_nonsense_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(AttestationError):
        read_identity_key(data)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", [lambda key: key + b"\x00", lambda key: key[:-1], lambda key: b"\x00" + key])
def test_one_byte_more_or_less_is_refused(form: str, change: object) -> None:
    with pytest.raises(Malformed):
        read_identity_key(change(FORMS[form]))  # type: ignore[operator]


def test_a_second_encoding_of_the_same_numbers_is_refused() -> None:
    modulus = NUMBERS.n.to_bytes(257, "big")
    padded = struct.pack("<4sIIIII", b"RSA1", 2048, 3, 257, 0, 0) + b"\x01\x00\x01" + modulus
    long_exponent = struct.pack("<4sIIIII", b"RSA1", 2048, 4, 256, 0, 0) + b"\x00\x01\x00\x01" + modulus[1:]
    private = struct.pack("<4sIIIII", b"RSA1", 2048, 3, 256, 128, 128) + b"\x01\x00\x01" + modulus[1:]
    for encoding in (padded, long_exponent, private):
        with pytest.raises(Malformed):
            read_identity_key(encoding)


@pytest.mark.parametrize(("bits", "exponent"), [(1024, 65537), (2048, 3), (5120, 65537)])
def test_weak_and_outsized_keys_are_refused(bits: int, exponent: int) -> None:
    key = rsa.RSAPublicNumbers(exponent, (1 << bits) - 1).public_key()
    with pytest.raises(Unsupported):
        read_identity_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def test_a_key_of_another_kind_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(Malformed):
        read_identity_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def test_json_that_is_no_endorsement_key_is_refused() -> None:
    message = b'{"__type":"ServiceInfoReply:#Microsoft.Windows.RemoteAttestation.Core"}'
    for content in (b"{}", as_json(as_json(SPKI)), message, b'{"Key":"' + b"A" * 7 + b'"}'):
        with pytest.raises(Malformed):
            read_identity_key(content)


def test_what_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(TooLarge):
        read_identity_key(bytes(MAX_IDENTITY_KEY + 1))
