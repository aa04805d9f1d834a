"""OAEP in software after raw RSA: the same as cryptography's, and silent about what was wrong."""

import hashlib
import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from hgs.keyprotection import oaep
from tests.hgs.keyprotection.guardians import lab

LABEL = b"guarded-fabric transport-key"


def key() -> rsa.RSAPrivateKey:
    return lab().encryption_key


def raw(ciphertext: bytes) -> bytes:
    """Raw RSA, as a token does it."""
    numbers = key().private_numbers()
    plain = pow(int.from_bytes(ciphertext), numbers.d, numbers.public_numbers.n)
    return plain.to_bytes(key().key_size // 8)


def encrypted(message: bytes, label: bytes) -> bytes:
    scheme = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=label or None)
    return key().public_key().encrypt(message, scheme)


@pytest.mark.parametrize("label", [b"", LABEL])
@pytest.mark.parametrize("length", [0, 1, 32, 189, 190])
def test_it_opens_what_cryptography_encrypted(label: bytes, length: int) -> None:
    message = os.urandom(length)
    assert oaep.unpad(raw(encrypted(message, label)), label) == message


@pytest.mark.parametrize("message", [b"\0", b"\1", b"\0\1", b"\1\0", b"\1\1\1", bytes(190)])
def test_a_message_of_zeros_and_ones_is_not_taken_for_padding(message: bytes) -> None:
    assert oaep.unpad(raw(encrypted(message, LABEL)), LABEL) == message


def encode(first: int, label: bytes, padded: bytes) -> bytes:
    """Any encoded message, right or wrong, under a seed of zeros."""
    block = hashlib.sha256(label).digest() + padded
    seed = bytes(32)
    masked = oaep._xor(block, oaep._mgf1(seed, len(block)))
    return bytes([first]) + oaep._xor(seed, oaep._mgf1(masked, 32)) + masked


def test_an_encoding_made_by_hand_opens() -> None:
    assert oaep.unpad(encode(0, LABEL, bytes(150) + b"\1secret"), LABEL) == b"secret"


WRONG = {
    "first byte one": encode(1, LABEL, bytes(150) + b"\1secret"),
    "first byte 255": encode(255, LABEL, bytes(150) + b"\1secret"),
    "other label": encode(0, b"another", bytes(150) + b"\1secret"),
    "no separator": encode(0, LABEL, bytes(157)),
    "a two before the one": encode(0, LABEL, bytes(10) + b"\2" + bytes(10) + b"\1secret"),
    "a high byte before the one": encode(0, LABEL, bytes(10) + b"\x80" + bytes(10) + b"\1secret"),
    "too short": bytes(65),
    "empty": b"",
    "everything wrong": bytes([7]) * 256,
}


@pytest.mark.parametrize("encoded", WRONG.values(), ids=WRONG.keys())
def test_whatever_is_wrong_the_error_is_the_same(encoded: bytes) -> None:
    with pytest.raises(ValueError) as refused:
        oaep.unpad(encoded, LABEL)
    assert refused.value.args == (oaep.FAILED,)
    assert refused.value.__cause__ is None


@given(st.binary(max_size=600))
def test_no_bytes_raise_anything_else(encoded: bytes) -> None:
    with pytest.raises(ValueError, match=f"^{oaep.FAILED}$"):
        oaep.unpad(encoded, LABEL)


@given(st.integers(0, 255), st.integers(1, 255))
def test_a_changed_byte_opens_nothing(position: int, change: int) -> None:
    right = bytearray(encode(0, LABEL, bytes(150) + b"\1" + bytes(40)))
    assert len(right) == 256
    right[position] ^= change
    with pytest.raises(ValueError, match=f"^{oaep.FAILED}$"):
        oaep.unpad(bytes(right), LABEL)


def test_every_byte_is_looked_at_whatever_those_before_it_were() -> None:
    """As many hashes for what fails at its first byte as for what opens."""
    counts = []
    for encoded in (encode(0, LABEL, bytes(150) + b"\1secret"), WRONG["first byte one"], WRONG["other label"]):
        made: list[int] = []
        original = oaep._mgf1

        def counted(seed: bytes, length: int, made: list[int] = made, original: object = original) -> bytes:
            made.append(length)
            return original(seed, length)  # type: ignore[operator,no-any-return]

        oaep._mgf1 = counted
        try:
            oaep.unpad(encoded, LABEL)
        except ValueError:
            pass
        finally:
            oaep._mgf1 = original
        counts.append(tuple(made))
    assert len(set(counts)) == 1
